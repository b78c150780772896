package migrate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/sync/diff"
)

// RolledBackMark is the annotation of a ServiceAccount whose migration failed and was
// rolled back: lanyard.io/rolled-back: <digest> <time>[,<time before>] <reason>.
const RolledBackMark = diff.RolledBackMark

// repeatedly is how close two rollbacks must be to hold whatever the mapping says.
const repeatedly = 24 * time.Hour

// Mark is what the annotation says.
type Mark struct {
	Digest string      // of the mapping that failed: see [Digest]
	At     []time.Time // of the rollback, and of the one before it
	Reason string
}

// ParseMark reads the annotation's value. Whoever may edit the ServiceAccount may have
// written it: what cannot be read is an error, and holds like a mark that can.
func ParseMark(text string) (Mark, error) {
	digest, rest, _ := strings.Cut(text, " ")
	times, reason, _ := strings.Cut(rest, " ")
	m := Mark{Digest: digest, Reason: strings.TrimSpace(reason)}
	if b, err := hex.DecodeString(digest); err != nil || len(b) != digestBytes {
		return Mark{}, fmt.Errorf("it does not begin with %d hexadecimal digits", 2*digestBytes)
	}
	for _, t := range strings.Split(times, ",") {
		at, err := time.Parse(time.RFC3339, t)
		if err != nil || len(m.At) == 2 || at.UTC().Year() < 1 || at.UTC().Year() > 9999 {
			return Mark{}, errors.New("its second word is not one or two times of RFC 3339, separated by a comma")
		}
		m.At = append(m.At, at)
	}
	return m, nil
}

// String returns the annotation's value.
func (m Mark) String() string {
	times := make([]string, len(m.At))
	for i, at := range m.At {
		times[i] = at.UTC().Format(time.RFC3339)
	}
	return strings.TrimSpace(m.Digest + " " + strings.Join(times, ",") + " " + m.Reason)
}

// Holds reports whether the mark stops a mapping: it bears the mapping's digest, or two
// rollbacks came less than 24 hours apart, whatever was changed in between.
func (m Mark) Holds(mapping desired.Mapping) bool {
	return m.Digest == Digest(mapping) || len(m.At) == 2 && m.At[0].Sub(m.At[1]).Abs() < repeatedly
}

const digestBytes = 6

// Digest identifies what a mapping asks for: 12 hexadecimal digits of the SHA-256 of its
// spec after defaults, with auto as written. Where it stands in Git does not count.
func Digest(m desired.Mapping) string {
	spec := struct {
		Role        string
		Mechanism   string
		IRSA        desired.IRSA
		PodIdentity desired.PodIdentity
		Migration   desired.Migration
		Windows     string
		Adopt       desired.Adopt
	}{m.Role.String(), m.Mechanism.String(), m.IRSA, m.PodIdentity, m.Migration, m.Migration.Windows.String(), m.Adopt}
	spec.Migration.Windows = desired.Windows{}
	text, err := json.Marshal(spec)
	if err != nil {
		panic("migrate: a mapping that is not data: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:digestBytes])
}
