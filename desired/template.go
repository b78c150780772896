package desired

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// variables are what a role ARN may name, and nothing else expands.
var variables = []string{"cluster", "region", "accountID", "partition", "namespace", "serviceAccount"}

// shortest has the shortest value that each variable can have: an ARN that is
// malformed with these is malformed with any.
func shortest(variable string) (string, bool) {
	switch variable {
	case "accountID":
		return "123456789012", true
	case "partition":
		return "aws", true
	case "cluster", "region", "namespace", "serviceAccount":
		return "x", true
	}
	return "", false
}

// valuesOf returns the values of the variables for one ServiceAccount of one
// cluster; what is not known of either is no value.
func valuesOf(c identity.Cluster, s identity.Subject) func(string) (string, bool) {
	return func(variable string) (v string, known bool) {
		switch variable {
		case "cluster":
			v = c.Name
		case "region":
			v = c.Region
		case "accountID":
			v = c.Account
		case "partition":
			v = c.Partition
		case "namespace":
			v = s.Namespace
		case "serviceAccount":
			v = s.ServiceAccount
		}
		return v, v != ""
	}
}

// expand replaces each ${variable} of s by its value. What a value contains is
// not expanded again.
func expand(s string, value func(string) (string, bool)) (string, *complaint) {
	var b strings.Builder
	for rest := s; ; {
		before, after, found := strings.Cut(rest, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		offset := utf8.RuneCountInString(s[:len(s)-len(after)-2])
		name, tail, closed := strings.Cut(after, "}")
		if !closed {
			return "", &complaint{what: " has a ${ that is not closed", instead: "write ${NAME}", offset: offset}
		}
		v, ok := value(name)
		if !ok {
			instead := "write one of " + choice(variables)
			if near := nearest(name, variables); near != "" {
				instead = "write ${" + near + "}"
			}
			return "", &complaint{what: fmt.Sprintf(" has the variable ${%s}, which does not exist", printable(name)), instead: instead, offset: offset}
		}
		b.WriteString(v)
		rest = tail
	}
}
