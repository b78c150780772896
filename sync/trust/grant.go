package trust

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Grant is what one statement of lanyard's lets in: one ServiceAccount of one
// cluster by one mechanism.
type Grant struct {
	Mechanism   identity.Mechanism // IRSA or PodIdentity
	Subject     identity.Subject
	Cluster     identity.Cluster
	Provider    string         // IRSA: the OIDC provider's ARN
	Audiences   []string       // IRSA: at least one
	Width       identity.Width // Pod Identity; IRSA is always pinned
	SessionTags bool           // Pod Identity: also allow sts:TagSession
}

// sidPrefix begins every Sid of lanyard's.
const sidPrefix = "Lanyard"

var widths = [...]identity.Width{identity.WidthPinned, identity.WidthCluster, identity.WidthAccount, identity.WidthBare}

// Sid returns the mark of the grant's statement: "Lanyard" and the first 16
// hexadecimal digits of the SHA-256 of cluster ARN, namespace, ServiceAccount,
// mechanism and width, joined by line feeds. IRSA's width is "pinned".
//
// This is a format: it stands in the trust policies of every user's roles, and
// every later release must recognise it. Audiences and session tags are not part
// of it, so that a change to them replaces the statement in place.
func (g Grant) Sid() string {
	sum := sidSum(nil, &g.Cluster, &g.Subject, g.Mechanism, g.width())
	return formatSid(sum[:])
}

func (g Grant) width() identity.Width {
	if g.Mechanism == identity.IRSA {
		return identity.WidthPinned
	}
	return g.Width
}

func sidSum(b []byte, c *identity.Cluster, s *identity.Subject, m identity.Mechanism, w identity.Width) [sha256.Size]byte {
	b = append(appendARN(b, c), '\n')
	b = append(append(b, s.Namespace...), '\n')
	b = append(append(b, s.ServiceAccount...), '\n')
	b = append(append(b, m.String()...), '\n')
	return sha256.Sum256(append(b, w.String()...))
}

func ownSidHashes(c *identity.Cluster, s *identity.Subject) (out [1 + len(widths)]uint64) {
	var room [512]byte
	sum := sidSum(room[:0], c, s, identity.IRSA, identity.WidthPinned)
	out[0] = binary.BigEndian.Uint64(sum[:])
	for i, w := range widths {
		sum := sidSum(room[:0], c, s, identity.PodIdentity, w)
		out[1+i] = binary.BigEndian.Uint64(sum[:])
	}
	return out
}

// OwnSids returns every Sid that lanyard may have written for a subject: IRSA's,
// then Pod Identity's from the narrowest width to the widest.
func OwnSids(c identity.Cluster, s identity.Subject) []string {
	var out []string
	for _, n := range ownSidHashes(&c, &s) {
		out = append(out, fmt.Sprintf("%s%016x", sidPrefix, n))
	}
	return out
}

// IsLanyardSid reports whether a Sid has lanyard's format, whoever's it is.
func IsLanyardSid(sid string) bool {
	_, ok := parseLanyardSid(sid)
	return ok
}

// condition is one line of a grant's Condition; all are StringEquals.
type condition struct {
	key    string
	values []string
}

// conditions lists what the grant's statement tests, in a fixed order.
//
// IRSA: https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html
// Pod Identity: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
//
// Pod Identity's cluster is pinned by eks-cluster-arn and not by
// eks-cluster-name: a name is unique in one account and Region only, so that a
// cluster of the same name in another Region would share the role.
func (g Grant) conditions() []condition {
	if g.Mechanism == identity.IRSA {
		host := g.Cluster.Issuer.HostPath()
		if host == "" {
			host = providerHostPath(g.Provider)
		}
		return []condition{
			{host + ":aud", g.Audiences},
			{host + ":sub", []string{g.Subject.OIDCSubject()}},
		}
	}
	account := condition{"aws:SourceAccount", []string{g.Cluster.Account}}
	cluster := condition{"aws:RequestTag/eks-cluster-arn", []string{g.Cluster.ARN()}}
	switch g.Width {
	case identity.WidthPinned:
		return []condition{
			account, cluster,
			{"aws:RequestTag/kubernetes-namespace", []string{g.Subject.Namespace}},
			{"aws:RequestTag/kubernetes-service-account", []string{g.Subject.ServiceAccount}},
		}
	case identity.WidthCluster:
		return []condition{account, cluster}
	case identity.WidthAccount:
		return []condition{account}
	}
	return nil
}

func (g Grant) actions() []string {
	switch {
	case g.Mechanism == identity.IRSA:
		return []string{assumeRoleWithWebIdentity.String()}
	case g.SessionTags:
		return []string{assumeRole.String(), tagSession.String()}
	}
	return []string{assumeRole.String()}
}

func (g Grant) principal() (kind, id string) {
	if g.Mechanism == identity.IRSA {
		return "Federated", g.Provider
	}
	return "Service", podIdentityService
}

// Statement returns the grant's statement as minified JSON, its members in a
// fixed order. One value stands alone, several stand in a list.
func (g Grant) Statement() []byte { return g.statement(false) }

// statement writes the principal in a list if it shall mark a document whose one
// statement stood alone; see stoodAlone.
func (g Grant) statement(alone bool) []byte {
	kind, id := g.principal()
	b := appendString([]byte(`{"Sid":`), g.Sid())
	b = append(b, `,"Effect":"Allow","Principal":{`...)
	b = append(appendString(b, kind), ':')
	if alone {
		b = append(appendString(append(b, '['), id), `]},"Action":`...)
	} else {
		b = append(appendString(b, id), `},"Action":`...)
	}
	b = appendStrings(b, g.actions())
	if conditions := g.conditions(); len(conditions) > 0 {
		b = append(b, `,"Condition":{"StringEquals":{`...)
		for i, c := range conditions {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, c.key), ':')
			b = appendStrings(b, c.values)
		}
		b = append(b, '}', '}')
	}
	return append(b, '}')
}

func appendStrings(b []byte, values []string) []byte {
	if len(values) == 1 {
		return appendString(b, values[0])
	}
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, v)
	}
	return append(b, ']')
}

// appendString quotes a string for JSON, in characters that IAM takes.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c < 0x20 || c > 0xFF && c < 0x10000:
			b = fmt.Appendf(b, `\u%04x`, c)
		case c > 0xFF:
			c -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xD800+c>>10, 0xDC00+c&0x3FF)
		default:
			b = append(b, string(c)...)
		}
	}
	return append(b, '"')
}

// HCL returns the statement as a block for Terraform's aws_iam_policy_document
// data source, for the owner of a role that lanyard may not write.
//
// https://registry.terraform.io/providers/hashicorp/aws/latest/docs/data-sources/iam_policy_document
func (g Grant) HCL() string {
	kind, id := g.principal()
	var b strings.Builder
	b.WriteString("statement {\n")
	fmt.Fprintf(&b, "  sid     = %s\n  effect  = \"Allow\"\n  actions = %s\n", hclString(g.Sid()), hclList(g.actions()))
	fmt.Fprintf(&b, "\n  principals {\n    type        = %s\n    identifiers = %s\n  }\n", hclString(kind), hclList([]string{id}))
	for _, c := range g.conditions() {
		fmt.Fprintf(&b, "\n  condition {\n    test     = \"StringEquals\"\n    variable = %s\n    values   = %s\n  }\n", hclString(c.key), hclList(c.values))
	}
	b.WriteString("}\n")
	return b.String()
}

func hclList(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = hclString(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// hclString quotes for HCL, which reads ${ and %{ as templates.
func hclString(s string) string {
	s = string(appendString(nil, s))
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(s)
}
