package trust

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
)

func TestAdmit(t *testing.T) {
	t.Parallel()
	web, pod := grantOf(identity.IRSA, 0), grantOf(identity.PodIdentity, identity.WidthPinned)
	account := grantOf(identity.PodIdentity, identity.WidthAccount)
	others := account
	others.Subject.ServiceAccount = "other"
	vault := web
	vault.Audiences = []string{"vault"}
	both := web
	both.Audiences = []string{"vault", "sts.amazonaws.com"}
	doc := func(stmts ...string) string {
		return expand(`{"Statement":[` + strings.Join(append([]string{foreign}, stmts...), ",") + `]}`)
	}
	text := func(g Grant) string { return string(g.Statement()) }
	deny := func(condition string) string {
		return `{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole*","Condition":{` + condition + `}}`
	}
	for _, tt := range []struct {
		name, doc string
		r         Request
		want      string // "" is unchanged
		err       error
		text      string
	}{
		{name: "new", doc: doc(), r: podID, want: doc(text(pod))},
		{name: "new, IRSA", doc: doc(), r: irsa, want: doc(text(web))},
		{name: "there", doc: doc(text(pod)), r: podID},
		{name: "there, of another width", doc: doc(text(account)), r: podID},
		{name: "there by another's Sid", doc: doc(text(others)), r: podID, want: doc(text(others), text(pod))},
		{name: "there by its source", doc: doc(`{"Effect":"Allow","Principal":PODS,"Action":"sts:*","Condition":{"ArnEquals":{"aws:SourceArn":"CLUSTERARN"}}}`), r: podID},
		{name: "audiences join", doc: doc(text(vault)), r: irsa, want: doc(text(both))},
		{name: "denied", doc: doc(deny(`"StringEquals":{"aws:SourceAccount":"123456789012"}`)), r: podID, err: ErrDeniedElsewhere, text: "an explicit Deny defeats the grant: statement 2"},
		{name: "denied by its source", doc: doc(deny(`"ArnEquals":{"aws:SourceArn":"CLUSTERARN"}`)), r: podID, err: ErrDeniedElsewhere, text: "statement 2"},
		{name: "denied elsewhere", doc: doc(deny(`"StringEquals":{"aws:SourceAccount":"210987654321"}`)), r: podID, want: doc(deny(`"StringEquals":{"aws:SourceAccount":"210987654321"}`), text(pod))},
		{name: "perhaps denied", doc: doc(deny(`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`)), r: irsa, err: ErrDeniedElsewhere, text: "an explicit Deny may defeat the grant: statement 2"},
		{name: "invalid", doc: `{"Statement":[]}`, r: irsa, err: ErrUneditable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := tt.want
			if want == "" {
				want = tt.doc
			}
			d := mustParse(t, tt.doc)
			e, err := d.Admit(tt.r, identity.WidthPinned, 0)
			if !errors.Is(err, tt.err) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("Admit to %s: %v, want %v with %q", tt.doc, err, tt.err, tt.text)
			}
			if got := e.Document.Text(); got != want || e.Changed != (want != tt.doc) {
				t.Errorf("Admit\n to   %s\n got  %s (changed %v)\n want %s", tt.doc, got, e.Changed, want)
			}
		})
	}
	if _, err := mustParse(t, doc()).Admit(irsa, 0, 100); !errors.Is(err, ErrQuota) {
		t.Errorf("Admit over quota: %v, want ErrQuota", err)
	}
}

// A JSON library may sort and respace a document between Add and RemoveSid: the
// mark of a statement that stood alone survives.
func TestAddThenRemoveThroughAnotherProgram(t *testing.T) {
	t.Parallel()
	before := `{"Statement":` + foreign + `,"Version":"2012-10-17"}`
	for _, r := range []Request{irsa, podID} {
		e, err := mustParse(t, before).Admit(r, identity.WidthPinned, 0)
		if err != nil || !e.Changed {
			t.Fatalf("Admit: changed %v, %v", e.Changed, err)
		}
		e, err = mustParse(t, rewritten(t, e.Document.Text())).Remove(r)
		if want := rewritten(t, before); err != nil || e.Document.Text() != want {
			t.Errorf("Remove: %v\n got  %s\n want %s", err, e.Document.Text(), want)
		}
	}
}

func rewritten(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
