package outline_test

import (
	"encoding/csv"
	"strings"
	"testing"
	"unicode"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/sync/live"
)

// FuzzForms: a text that others wrote, whatever it is, changes nothing in a form but
// itself: no element, row or line comes with it, and nothing that a terminal obeys.
func FuzzForms(f *testing.F) {
	for _, text := range []string{"", "=1+1", "</td><script>", "\x1b]0;x\a", "a\n| b |\n\n# c", "\u202e\u0085\u2028", "`|`\\", "\r\n\t,\"", "\xff<", "&lt;"} {
		f.Add(text)
	}
	facts, err := live.DecodeFacts(examples.Live) // once, and little of it: what it holds is not the point
	if err != nil {
		f.Fatal(err)
	}
	role, err := identity.ParseRoleARN("arn:aws:iam::123456789012:role/eks-irsa-lab-batch-shared-role")
	if err != nil {
		f.Fatal(err)
	}
	facts.Pods, facts.Workloads, facts.Associations = nil, nil, nil
	state := desired.State{Cluster: facts.Cluster.Name, Mappings: []desired.Mapping{desired.Undeclared(identity.Subject{Namespace: "batch", ServiceAccount: "exporter"}, role, identity.IRSA)}}
	world := func(t *testing.T, text string) outline.Outline {
		w := facts
		w.ServiceAccounts = []live.ServiceAccount{
			{Namespace: "batch", Name: "exporter", Annotations: map[string]string{"eks.amazonaws.com/role-arn": role.String(), migrate.RolledBackMark: "x" + text}},
			{Namespace: "zz", Name: "zz", Annotations: map[string]string{"eks.amazonaws.com/role-arn": "x" + text}},
		}
		w.Gaps = []live.Gap{{Source: live.SourceReaders, Reason: live.GapRefused, Message: "x" + text}}
		snap, err := live.New(w)
		if err != nil {
			t.Fatal(err)
		}
		return outline.New(state, snap, outline.Options{})
	}
	f.Fuzz(func(t *testing.T, text string) {
		plain, hostile := world(t, ""), world(t, text)
		for _, form := range []string{"table", "md", "csv", "html", "text"} {
			want, got := write(t, form, plain, outline.View{Wide: true}), write(t, form, hostile, outline.View{Wide: true})
			if i := strings.IndexFunc(got, func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) && r != '\u200b' }); i >= 0 {
				t.Errorf("%s of %q has %q", form, text, got[i:min(len(got), i+8)])
			}
			if form != "text" && form != "html" && strings.Count(got, "\n") != strings.Count(want, "\n") {
				t.Errorf("%s of %q has %d lines, want %d", form, text, strings.Count(got, "\n"), strings.Count(want, "\n"))
			}
			if (form == "md" || form == "html") && strings.Count(got, "<") != strings.Count(want, "<") {
				t.Errorf("%s of %q has %d tags, want %d", form, text, strings.Count(got, "<"), strings.Count(want, "<"))
			}
			if form != "csv" {
				continue
			}
			rows, err := csv.NewReader(strings.NewReader(got)).ReadAll()
			if err != nil {
				t.Fatalf("csv of %q: %v", text, err)
			}
			for _, row := range rows {
				for _, cell := range row {
					if strings.IndexAny(strings.TrimSpace(cell), "=+-@") == 0 {
						t.Errorf("a spreadsheet would run %q", cell)
					}
				}
			}
		}
	})
}
