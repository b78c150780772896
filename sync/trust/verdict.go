package trust

import (
	"fmt"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Decision is the answer of an evaluation. The zero Decision is [Deny].
type Decision uint8

// The decisions.
const (
	Deny        Decision = iota // the call would be refused
	Allow                       // the call would be let in
	Undecidable                 // it hangs on a value that lanyard cannot know, or the document is beyond its grammar
	Invalid                     // IAM would refuse the document itself; see [Document.Valid]
)

var decisions = [...]string{Deny: "deny", Allow: "allow", Undecidable: "undecidable", Invalid: "invalid"}

// String returns deny, allow, undecidable or invalid.
func (d Decision) String() string {
	if int(d) < len(decisions) {
		return decisions[d]
	}
	return fmt.Sprintf("decision(%d)", uint8(d))
}

// MarshalText writes the word.
func (d Decision) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the word.
func (d *Decision) UnmarshalText(b []byte) error {
	for i, word := range decisions {
		if word == string(b) {
			*d = Decision(i)
			return nil
		}
	}
	return fmt.Errorf("decision %q is none of deny, allow, undecidable, invalid", b)
}

// Cause says why a [Verdict] is not [Allow]. The zero Cause is that of an Allow.
type Cause uint8

// The causes.
const (
	NoCause       Cause = iota // the verdict is Allow
	NoStatement                // no statement that counts speaks of this mechanism's principal and action
	OtherSubject               // a statement allows another namespace or ServiceAccount
	OtherAudience              // a statement allows the subject with another audience
	OtherIssuer                // a statement allows the subject through another, perhaps stale, OIDC provider
	OtherCluster               // a Pod Identity statement allows the subject in another cluster or account
	NoTagSession               // sts:AssumeRole is allowed, sts:TagSession is not
	ExplicitDeny               // a Deny statement defeats whatever allows
	Unknowable                 // it hangs on a value that lanyard cannot know
	BadDocument                // lanyard's grammar refuses the document
	Other                      // a statement comes close, but another condition fails
)

var causes = [...]string{
	NoCause: "", NoStatement: "no-statement", OtherSubject: "other-subject", OtherAudience: "other-audience",
	OtherIssuer: "other-issuer", OtherCluster: "other-cluster", NoTagSession: "no-tag-session",
	ExplicitDeny: "explicit-deny", Unknowable: "unknowable", BadDocument: "bad-document", Other: "other",
}

// String returns the cause in kebab case; that of [NoCause] is "".
func (c Cause) String() string {
	if int(c) < len(causes) {
		return causes[c]
	}
	return fmt.Sprintf("cause(%d)", uint8(c))
}

// MarshalText writes the word.
func (c Cause) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the word.
func (c *Cause) UnmarshalText(b []byte) error {
	for i, word := range causes {
		if word == string(b) {
			*c = Cause(i)
			return nil
		}
	}
	return fmt.Errorf("cause %q is unknown", b)
}

// Request is one question put to a document: would this ServiceAccount's pod get
// credentials? Fields of the other mechanism are ignored.
type Request struct {
	Mechanism identity.Mechanism // IRSA or PodIdentity; anything else is denied
	Subject   identity.Subject   // whose pod asks
	Cluster   identity.Cluster   // where it runs

	Provider string // IRSA: the ARN of the IAM OIDC provider, exact
	Audience string // IRSA: the token's aud

	SessionTags   bool   // Pod Identity: EKS sends the six request tags and needs sts:TagSession
	SourceAccount string // Pod Identity: aws:SourceAccount; "" is the cluster's account
	SourceARN     string // Pod Identity: aws:SourceArn; "" is unknown
	OrgID         string // Pod Identity: aws:SourceOrgId, for example "o-a1b2c3d4e5"; "" is unknown

	Now time.Time // aws:CurrentTime and aws:EpochTime; zero is unknown

	// IgnoreOthers leaves out Allow statements that bear a lanyard Sid of another
	// subject or cluster: their owner may drop them at any time, and each writes its own.
	// Deny statements always count.
	IgnoreOthers bool
}

// Verdict is the answer, and what decided it.
type Verdict struct {
	Decision  Decision
	Cause     Cause  // NoCause if and only if Decision is Allow
	Statement int    // index from 0 of the statement that decided or came closest; -1 is none
	Sid       string // its Sid, if it has one
	Reason    string // for a person; statements are counted from 1 there
}
