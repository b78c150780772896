package awsd

import (
	"encoding/base64"
	"encoding/json"
	"hash/crc32"
	"slices"
	"strconv"
)

// cursor is what a page token holds: which listing it belongs to, and the key after which
// the next page starts. A token of another listing, a broken one, or one that a
// [TruncatedPage] handed out is refused.
type cursor struct {
	Listing string
	After   string
	Broken  bool
	Sum     uint32
}

func (c cursor) sum() uint32 {
	return crc32.ChecksumIEEE([]byte(c.Listing + "\x00" + c.After + "\x00lanyard"))
}

func (c cursor) String() string {
	c.Sum = c.sum()
	b, _ := json.Marshal(c) // Strings and numbers: it does not fail.
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(token, listing string) (cursor, bool) {
	var c cursor
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(b, &c) != nil {
		return c, false
	}
	return c, c.Sum == c.sum() && c.Listing == listing && !c.Broken
}

// paginate cuts one page out of items, which are sorted by key. The filter tells listings
// of one operation apart.
func paginate[T any](c *call, items []T, key func(T) string, size int, token, filter string) (page []T, next string, ok bool) {
	listing := c.Operation + " " + c.Account + " " + c.Region + " " + filter
	if token != "" {
		at, ok := parseCursor(token, listing)
		if !ok {
			return nil, "", false
		}
		i := slices.IndexFunc(items, func(it T) bool { return key(it) > at.After })
		if i < 0 {
			i = len(items)
		}
		items = items[i:]
	}
	broken := c.fault == TruncatedPage && len(items) > 1
	if broken {
		size = min(size, len(items)-1)
	}
	if len(items) <= size {
		return items, "", true
	}
	page = items[:size]
	return page, cursor{Listing: listing, After: key(page[size-1]), Broken: broken}.String(), true
}

// iamPage cuts a page as IAM does: MaxItems is 1 to 1,000 and 100 if left out, and a page
// that is not the last may hold fewer, here always one fewer.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html
func iamPage[T any](c *call, items []T, key func(T) string, filter string) ([]T, []elem, *apiError) {
	size := 100
	if v := c.form.Get("MaxItems"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 1000 {
			return nil, nil, errValidation("1 validation error detected: Value '%s' at 'maxItems' failed to satisfy constraint: Member must be between 1 and 1000", v)
		}
		size = n
	}
	if size > 1 && len(items) > size {
		size--
	}
	page, next, ok := paginate(c, items, key, size, c.form.Get("Marker"), filter)
	if !ok {
		return nil, nil, errValidation("Invalid Marker")
	}
	if next == "" {
		return page, []elem{text("IsTruncated", "false")}, nil
	}
	return page, []elem{text("IsTruncated", "true"), text("Marker", next)}, nil
}

// eksPage cuts a page as EKS does: maxResults is 1 to 100 and 100 if left out.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_ListPodIdentityAssociations.html
func eksPage[T any](c *call, items []T, key func(T) string, filter string) ([]T, *string, *apiError) {
	size := 100
	if v := c.form.Get("maxResults"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 100 {
			return nil, nil, errParameter("maxResults must be between 1 and 100.")
		}
		size = n
	}
	page, next, ok := paginate(c, items, key, size, c.form.Get("nextToken"), filter)
	if !ok {
		return nil, nil, errParameter("Invalid token provided.")
	}
	if next == "" {
		return page, nil, nil
	}
	return page, &next, nil
}
