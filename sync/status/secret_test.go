package status

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// FuzzScrub: a document stays a document, a text without an @ stays as it is, and no
// credentials of a URL that net/url can read are left.
func FuzzScrub(f *testing.F) {
	for _, seed := range []string{"", "https://a:b@c/d", `see "https://a\b"c:d@e"`, "://@://@", "https://[::1]:1/@", "x://\\", "a\n://b\t@c", "https://a:é@c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		data, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			t.Skip(err)
		}
		var was, got map[string]string
		if err := json.Unmarshal(data, &was); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(scrub(data), &got); err != nil || len(got) != 1 {
			t.Fatalf("%q is no document: %v", scrub(data), err)
		}
		if !strings.Contains(text, "@") && got["text"] != was["text"] {
			t.Errorf("%q became %q", was["text"], got["text"])
		}
		if u, err := url.Parse(got["text"]); err == nil && u.User != nil && u.Host != "" && u.Scheme != "" {
			t.Errorf("%q became %q, with %q still in it", was["text"], got["text"], u.User)
		}
	})
}

// TestScrubIsLinear: hostile text in a message costs no more than its length.
func TestScrubIsLinear(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"://", "://:a/", "://:a/@", "://a@", "://a", "\\\\", "x@"} {
		text := []byte(strings.Repeat(part, 4<<20/len(part)))
		if got := scrub(text); len(got) > len(text) {
			t.Errorf("%q grew", part)
		}
	}
}
