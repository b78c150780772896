package trust

import (
	"errors"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Document is a trust policy as IAM stores it.
type Document struct{ text string }

// Statement is one statement of a [Document].
type Statement struct {
	Index int    // from 0
	Sid   string // "" if it has none
	Raw   []byte // its bytes as written; do not modify
}

// Edit is the outcome of an edit.
type Edit struct {
	Document             *Document
	Changed              bool
	Before, After, Limit int // sizes as IAM counts them; Limit is 0 if none was given
}

// Grant is what one statement of lanyard's lets in.
type Grant struct {
	Mechanism   identity.Mechanism
	Subject     identity.Subject
	Cluster     identity.Cluster
	Provider    string         // IRSA: the OIDC provider's ARN
	Audiences   []string       // IRSA: at least one
	Width       identity.Width // Pod Identity
	SessionTags bool           // Pod Identity
}

// Sentinels.
var (
	ErrQuota            = errors.New("trust policy too large")
	ErrDeniedElsewhere  = errors.New("an explicit Deny defeats the grant")
	ErrDeletedPrincipal = errors.New("the trust policy names a deleted principal")
	ErrUneditable       = errors.New("the trust policy is beyond lanyard's grammar")
	ErrLastStatement    = errors.New("it is the only statement")
)

// QuotaError travels with [ErrQuota].
type QuotaError struct {
	Before, After, Limit int
	Fits                 []identity.Width // Pod Identity widths that would fit
}

func (e *QuotaError) Error() string { return ErrQuota.Error() }

// Unwrap returns [ErrQuota].
func (e *QuotaError) Unwrap() error { return ErrQuota }

// Decode undoes IAM's URL encoding.
func Decode(urlEncoded string) (string, error) { return urlEncoded, nil }

// Parse reads a document.
func Parse(text string) (*Document, error) { return &Document{text}, nil }

// Text returns the text given to Parse.
func (d *Document) Text() string { return d.text }

// Digest identifies the meaning.
func (d *Document) Digest() string { return "" }

// Size is IAM's count.
func (d *Document) Size() int { return 0 }

// Valid tells what IAM's grammar refuses.
func (d *Document) Valid() error { return nil }

// Evaluate judges.
func (d *Document) Evaluate(r Request) Verdict { return Verdict{} }

// Excess tells what is let in beyond r.
func (d *Document) Excess(r Request, w identity.Width) (Verdict, bool) { return Verdict{}, false }

// Statements lists.
func (d *Document) Statements() []Statement { return nil }

// Add adds.
func (d *Document) Add(g Grant, quota int) (Edit, error) { return Edit{}, nil }

// RemoveSid removes.
func (d *Document) RemoveSid(sid string) (Edit, error) { return Edit{}, nil }

// Sid is the grant's Sid.
func (g Grant) Sid() string { return "" }

// Statement is the grant as JSON.
func (g Grant) Statement() []byte { return nil }

// HCL is the grant as Terraform.
func (g Grant) HCL() string { return "" }

// OwnSids lists the Sids of a subject.
func OwnSids(c identity.Cluster, s identity.Subject) []string { return nil }

// IsLanyardSid recognises.
func IsLanyardSid(sid string) bool { return false }

// Equal compares.
func Equal(a, b *Document) bool { return false }
