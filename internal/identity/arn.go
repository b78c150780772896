package identity

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// RoleARN is an IAM role's ARN, taken apart. It is comparable, so it can key a
// map; the account and the path are part of it, because IAM's calls by name
// would silently hit a role of the same name in another account or path.
//
// Name rules: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
type RoleARN struct {
	Partition string // aws, aws-cn, aws-us-gov, ...
	Account   string // 12 digits
	Path      string // begins and ends with a slash; "/" when there is none
	Name      string // at most 64 of [A-Za-z0-9+=,.@_-]
}

var (
	partitionRE = regexp.MustCompile(`^aws(-[a-z0-9]+)*$`)
	accountRE   = regexp.MustCompile(`^[0-9]{12}$`)
	roleNameRE  = regexp.MustCompile(`^[A-Za-z0-9+=,.@_-]{1,64}$`)
	pathRE      = regexp.MustCompile(`^/([\x21-\x7e]+/)?$`)
)

// ParseRoleARN reads "arn:<partition>:iam::<account>:role/<path/>name". The
// error says what is wrong and what an ARN looks like.
func ParseRoleARN(s string) (RoleARN, error) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return RoleARN{}, fmt.Errorf("%q is not a role ARN: write arn:aws:iam::123456789012:role/NAME", s)
	}
	resource, ok := strings.CutPrefix(parts[5], "role/")
	if parts[2] != "iam" || parts[3] != "" || !ok {
		return RoleARN{}, fmt.Errorf("%q is an ARN, but not of an IAM role: write arn:%s:iam::123456789012:role/NAME", s, cmp.Or(parts[1], "aws"))
	}
	r := RoleARN{Partition: parts[1], Account: parts[4], Path: "/", Name: resource}
	if i := strings.LastIndexByte(resource, '/'); i >= 0 {
		r.Path, r.Name = "/"+resource[:i+1], resource[i+1:]
	}
	switch {
	case !partitionRE.MatchString(r.Partition):
		return RoleARN{}, fmt.Errorf("%q: partition %q is not aws, aws-cn, aws-us-gov or another that begins with aws-", s, r.Partition)
	case !accountRE.MatchString(r.Account):
		return RoleARN{}, fmt.Errorf("%q: account %q is not 12 digits", s, r.Account)
	case len(r.Path) > 512 || !pathRE.MatchString(r.Path):
		return RoleARN{}, fmt.Errorf("%q: path %q is not a role path (up to 512 printable ASCII characters between slashes)", s, r.Path)
	case !roleNameRE.MatchString(r.Name):
		return RoleARN{}, fmt.Errorf("%q: role name %q is not 1 to 64 of A-Z a-z 0-9 + = , . @ _ -", s, r.Name)
	}
	return r, nil
}

// String puts the ARN together again; the zero RoleARN is "".
func (r RoleARN) String() string {
	if r == (RoleARN{}) {
		return ""
	}
	return "arn:" + r.Partition + ":iam::" + r.Account + ":role" + r.Path + r.Name
}

// IsZero reports whether r names no role.
func (r RoleARN) IsZero() bool { return r == RoleARN{} }

// Compare orders ARNs as their strings.
func (r RoleARN) Compare(s RoleARN) int { return strings.Compare(r.String(), s.String()) }

// MarshalText writes the ARN.
func (r RoleARN) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads an ARN; empty text is the zero RoleARN.
func (r *RoleARN) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*r = RoleARN{}
		return nil
	}
	parsed, err := ParseRoleARN(string(b))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}
