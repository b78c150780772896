package awsd

import (
	"regexp"
	"strings"
)

var (
	iamName       = regexp.MustCompile(`^[\w+=,.@-]+$`)
	clusterName   = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$`)
	associationID = regexp.MustCompile(`^a-[0-9a-z]{17}$`)
	dnsLabel      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	dnsSubdomain  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	serviceName   = regexp.MustCompile(`^[a-z0-9.-]+\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.internal)$`)
	wellKnownIDPs = map[string]bool{
		"cognito-identity.amazonaws.com": true, "accounts.google.com": true,
		"graph.facebook.com": true, "www.amazon.com": true,
	}
)

// validateTrust judges a trust policy as IAM does when it is written. exists says whether
// a role is there, for principals that name one; roles of accounts that the sandbox does
// not hold exist.
func validateTrust(doc string, exists func(roleARN string) bool) error {
	p, err := parsePolicy(doc)
	if err != nil {
		return err
	}
	for _, st := range p.statements {
		switch {
		case st.resources != nil:
			return malformed("Has prohibited field Resource")
		case st.principals == nil:
			return malformed("Missing required field Principal")
		}
		for _, a := range st.actions {
			if !strings.HasPrefix(strings.ToLower(a), "sts:") {
				return malformed("AssumeRole policy may only specify STS AssumeRole actions.")
			}
		}
		for kind, values := range st.principals {
			for _, v := range values {
				if !validPrincipal(kind, v, exists) {
					return malformedf("Invalid principal in policy: %q:%q", strings.ToUpper(kind), v)
				}
			}
		}
	}
	return nil
}

// validPrincipal refuses, among others, the bare ids that stand for deleted principals:
// IAM shows them in documents and does not take them back.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
func validPrincipal(kind, v string, exists func(string) bool) bool {
	switch kind {
	case "Service":
		return serviceName.MatchString(v)
	case "Federated":
		a, ok := parseARN(v)
		return wellKnownIDPs[v] || ok && a.service == "iam" && isAccount(a.account) &&
			(strings.HasPrefix(a.resource, "oidc-provider/") || strings.HasPrefix(a.resource, "saml-provider/"))
	case "AWS":
		if v == "*" || isAccount(v) {
			return true
		}
		return !strings.ContainsAny(v, "*?") && validAWSPrincipal(v, exists)
	}
	return false
}

func validAWSPrincipal(v string, exists func(string) bool) bool {
	a, ok := parseARN(v)
	if !ok || a.region != "" || !isAccount(a.account) {
		return false
	}
	kind, rest, _ := strings.Cut(a.resource, "/")
	switch {
	case a.service == "iam" && kind == "role":
		_, _, _, ok := roleName(v)
		return ok && exists(v)
	case a.service == "iam" && kind == "user":
		return rest != ""
	case a.service == "iam":
		return a.resource == "root"
	case a.service == "sts" && kind == "assumed-role":
		role, session, ok := strings.Cut(rest, "/")
		return ok && role != "" && session != ""
	case a.service == "sts" && kind == "federated-user":
		return rest != ""
	}
	return false
}

// latin1 reports whether a document has only the characters that IAM takes: tab, line
// feed, carriage return, and U+0020 to U+00FF.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAssumeRolePolicy.html
func latin1(s string) bool {
	for _, r := range s {
		if r > 0xff || r < 0x20 && r != '\t' && r != '\n' && r != '\r' {
			return false
		}
	}
	return true
}

// tagProblem says what is wrong with the tags of an EKS resource, or nothing.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/eks-using-tags.html
func tagProblem(tags map[string]string) string {
	if len(tags) > 50 {
		return "The number of tags exceeds the maximum of 50."
	}
	for k, v := range tags {
		switch {
		case k == "" || len([]rune(k)) > 128:
			return "Tag keys must have 1 to 128 characters."
		case len([]rune(v)) > 256:
			return "Tag values must have at most 256 characters."
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return "Tag keys must not start with aws:."
		}
	}
	return ""
}
