package observe

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/sync/live"
)

// FuzzObjects: a list of whatever people put into their objects is read as a whole, or is
// an error; and what the kinds look for may stand there in any shape.
func FuzzObjects(f *testing.F) {
	for _, answer := range everyKind() {
		f.Add(answer)
	}
	f.Add(`{"items":[{"spec":{"triggers":[{"authenticationRef":7},"x",{"authenticationRef":{"name":"a","kind":[]}}],"acme":{"solvers":{"dns01":1}}}},null],"metadata":null}`)
	f.Add(`{"items":null}{`)
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		next, err := objects(json.NewDecoder(strings.NewReader(text)), func(o object) {
			n++
			for _, k := range kinds {
				k.readers(o, live.Reader{Kind: k.kind, Namespace: o.text("metadata", "namespace"), Name: o.text("metadata", "name")})
			}
		})
		var whole struct {
			Metadata struct{ Continue string }
			Items    []object
		}
		lower := strings.ToLower(text)
		if err != nil || !ascii(text) || strings.Count(lower, "items") > 1 || strings.Count(lower, "metadata") > 1 || strings.ContainsRune(text, '\\') {
			return // encoding/json takes keys in any case, and the last of two
		}
		first := json.NewDecoder(strings.NewReader(text)) // what follows the list is not looked at
		if err := first.Decode(&whole); err != nil || n != len(whole.Items) || next != whole.Metadata.Continue {
			t.Errorf("%q: %d objects and token %q, want %d and %q, and %v", text, n, next, len(whole.Items), whole.Metadata.Continue, err)
		}
	})
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}
