package outline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/sync/live"
)

// adopting is the example fleet where every plane may be taken over, so that many can move.
func adopting(t *testing.T) outline.Outline {
	return example(t, func(_ *live.Facts, s *desired.State) {
		for i := range s.Mappings {
			m := &s.Mappings[i]
			m.Adopt = desired.Adopt{Annotation: true, Trust: true, Association: true}
			if m.Subject.Namespace == "batch" { // their role's statement lets both in
				m.Migration.Cleanup = desired.CleanupKeepTrust
			}
		}
	})
}

func named(list []outline.Workload) string {
	var names []string
	for _, w := range list {
		names = append(names, w.Name())
	}
	return strings.Join(names, " ")
}

func propose(t *testing.T, o outline.Outline, p desired.Pace, c outline.Choice) outline.Proposal {
	t.Helper()
	got, err := o.Propose(p, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range got.Take {
		if w.Verdict != migrate.Eligible || w.Declared != "irsa" || len(w.Would) == 0 {
			t.Errorf("%s is proposed: %s, declared %s, %d steps", w.Name(), w.Verdict, w.Declared, len(w.Would))
		}
	}
	return got
}

// TestPropose: who is in the wave, by the operator's pace and by choice.
func TestPropose(t *testing.T) {
	t.Parallel()
	o := adopting(t)
	for _, tt := range []struct {
		name   string
		pace   desired.Pace
		choice outline.Choice
		want   string // those taken, then waves, movable and left
	}{
		{"the first of many", desired.Pace{}, outline.Choice{}, "demo/s3-reader: 4 of 4, 7 left"},
		{"two at a time", desired.Pace{MaxConcurrent: 2}, outline.Choice{}, "demo/s3-reader late/late-bird: 3 of 4, 6 left"},
		{"two of a namespace", desired.Pace{MaxConcurrent: 9, PerNamespace: 2}, outline.Choice{}, "demo/s3-reader late/late-bird batch/exporter batch/reporter: 1 of 4, 4 left"},
		{"one of a namespace", desired.Pace{MaxConcurrent: 9}, outline.Choice{}, "demo/s3-reader late/late-bird batch/exporter: 2 of 4, 5 left"},
		{"a namespace", desired.Pace{}, outline.Choice{Namespaces: []string{"late", "win-demo"}}, "late/late-bird: 1 of 1, 0 left"},
		{"a limit", desired.Pace{}, outline.Choice{Limit: 3}, "demo/s3-reader late/late-bird batch/exporter: 0 of 4, 5 left"},
		{"a limit over all", desired.Pace{}, outline.Choice{Limit: 30}, "demo/s3-reader late/late-bird batch/exporter batch/reporter: 0 of 4, 4 left"},
		{"names", desired.Pace{}, outline.Choice{Names: []identity.Subject{{Namespace: "batch", ServiceAccount: "reporter"}, {Namespace: "batch", ServiceAccount: "exporter"}}}, "batch/exporter batch/reporter: 0 of 2, 0 left"},
		{"names and a limit", desired.Pace{}, outline.Choice{Limit: 1, Names: []identity.Subject{{Namespace: "batch", ServiceAccount: "reporter"}, {Namespace: "late", ServiceAccount: "late-bird"}}}, "late/late-bird: 0 of 2, 1 left"},
		{"nothing", desired.Pace{}, outline.Choice{Namespaces: []string{"win-demo"}}, ": 0 of 0, 0 left"},
		{"some that no hand can change", desired.Pace{}, outline.Choice{Unfit: func(w outline.Workload) string {
			return map[bool]string{true: "an alias"}[w.Namespace == "demo"]
		}}, "late/late-bird: 3 of 3, 7 left"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := propose(t, o, tt.pace, tt.choice)
			if got := fmt.Sprintf("%s: %d of %d, %d left", named(p.Take), p.Waves, p.Movable, len(p.Left)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if (tt.choice.Unfit != nil) != p.Refused() {
				t.Errorf("refused: %v", p.Refused())
			}
		})
	}
}

// TestLeftOut: whoever is declared irsa and is not proposed has the reason beside it.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	o := example(t, func(f *live.Facts, s *desired.State) {
		for i := range s.Mappings {
			m := &s.Mappings[i]
			m.Adopt.Trust = m.Subject.Namespace != "batch"
			if m.Subject.Namespace == "late" {
				m.Migration.Hold = "not before Monday"
			}
		}
		f.Gaps = append(f.Gaps, live.Gap{Source: live.SourcePods, Scope: "demo/s3-reader", Reason: live.GapFailed, Message: "cut short"})
	})
	p := propose(t, o, desired.Pace{}, outline.Choice{})
	var got []string
	for _, l := range p.Left {
		for _, why := range l.Why {
			got = append(got, l.Name()+": "+why)
		}
	}
	for _, want := range []string{
		"batch/exporter: blocked, trust-not-adopted: ", "cross/chained-reader: keep-irsa, chained-role: ", "demo2/s3-reader: not settled on IRSA yet: it is on irsa, phase crossing",
		"late/late-bird: held, held: ", "demo/s3-reader: unclear, not read: ",
	} {
		if !slices.ContainsFunc(got, func(line string) bool {
			return strings.HasPrefix(line, strings.TrimSuffix(want, "not before Monday")) && strings.Contains(line, "")
		}) {
			t.Errorf("no %q among\n%s", want, strings.Join(got, "\n"))
		}
	}
	if len(p.Take) > 0 {
		t.Errorf("proposed: %s", named(p.Take))
	}
	if got := strings.Join(p.UnderWay, " "); got != "payments/api" {
		t.Errorf("under way: %q", got)
	}
}

// TestProposeNames: what a name cannot mean is told.
func TestProposeNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"nobody":     "demo/nobody is neither named by Git nor wired to a role: name one that `lanyard plan` lists",
		"prometheus": "monitoring/prometheus is not named by Git: `lanyard import` writes its mapping",
		"karpenter":  "karpenter/karpenter is declared auto (karpenter/karpenter.yaml:5:9), and moves by itself once it can: `lanyard plan karpenter/karpenter` says where it stands",
		"api":        "payments/api is declared pod-identity already (payments/api.yaml:5:9): `lanyard plan payments/api` says where it stands",
	} {
		s := identity.Subject{Namespace: map[string]string{"nobody": "demo", "prometheus": "monitoring", "api": "payments", "karpenter": "karpenter"}[name], ServiceAccount: name}
		if _, err := adopting(t).Propose(desired.Pace{}, outline.Choice{Names: []identity.Subject{s}}); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestProposeNamespaces: so is a namespace that Git does not know.
func TestProposeNamespaces(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"nowhere", "monitoring"} { // nothing there; nothing declared
		want := fmt.Sprintf("no ServiceAccount of namespace %q is named by Git: name a namespace that `lanyard plan` lists", name)
		if _, err := adopting(t).Propose(desired.Pace{}, outline.Choice{Namespaces: []string{"demo", name}}); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestMessage: the commit says why.
func TestMessage(t *testing.T) {
	t.Parallel()
	p := propose(t, adopting(t), desired.Pace{MaxConcurrent: 9}, outline.Choice{})
	golden(t, "proposal.txt", p.Message([]string{"demo/s3-reader is for every cluster that reads its file."}))
	if p = propose(t, adopting(t), desired.Pace{}, outline.Choice{}); p.Title() != "Move demo/s3-reader to EKS Pod Identity" {
		t.Errorf("title %q", p.Title())
	}
}
