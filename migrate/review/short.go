package review

import (
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// shortener writes in prose what everybody who reads a report of one cluster knows as few
// words: its ARN, its issuer's OIDC provider, and its account before the name of a role.
// Values, which are copied, stay whole.
type shortener struct{ *strings.Replacer }

func shorten(c identity.Cluster) shortener {
	if c.Account == "" || c.Issuer == "" {
		return shortener{}
	}
	return shortener{strings.NewReplacer(
		"through "+c.Issuer.ProviderARN(c.Partition, c.Account), "through this cluster's issuer",
		"in "+c.ARN(), "in this cluster",
		"arn:"+c.Partition+":iam::"+c.Account+":role/", "",
	)}
}

// prose shortens a text.
func (s shortener) prose(text string) string {
	if s.Replacer == nil {
		return text
	}
	return s.Replace(text)
}
