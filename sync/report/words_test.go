package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"", []string{""}},
		{"one", []string{"one"}},
		{"one two three", []string{"one two", "three"}},
		{"exactly 10", []string{"exactly 10"}},
		{"arn:aws:iam::123456789012:role/x is whole", []string{"arn:aws:iam::123456789012:role/x", "is whole"}},
		{"  spaces   go ", []string{"spaces go"}},
		{"äöü äöüß x", []string{"äöü äöüß x"}},
	} {
		if diff := cmp.Diff(tt.want, Wrap(tt.in, 10)); diff != "" {
			t.Errorf("Wrap(%q, 10) (-want +got)\n%s", tt.in, diff)
		}
	}
}

func TestShortNames(t *testing.T) {
	t.Parallel()
	const (
		reader  = "arn:aws:iam::123456789012:role/reader"
		other   = "arn:aws:iam::210987654321:role/reader"
		writer  = "arn:aws:iam::123456789012:role/team/writer"
		now     = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/NEW"
		before  = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/OLD"
		foreign = "arn:aws:iam::210987654321:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/OLD"
	)
	for _, tt := range []struct {
		name string
		d    Diff
		in   string
		want string
	}{
		{"a role", Diff{Mappings: []Mapping{{Role: writer}}}, "role " + writer + ", and more", "role writer, and more"},
		{"at the end of a sentence", Diff{Mappings: []Mapping{{Role: writer}}}, "it is " + writer + ".", "it is writer."},
		{"two roles of one name", Diff{Mappings: []Mapping{{Role: reader}}, Findings: []Finding{{Actual: other}}}, "was given " + other, "was given " + other},
		{"an OIDC provider", Diff{Findings: []Finding{{Message: now + " and " + before}}}, "through " + before, "through .../OLD"},
		{"one issuer in two accounts", Diff{Findings: []Finding{{Message: before + " and " + foreign}}}, "through " + before, "through " + before},
		{"an ARN that the report does not know", Diff{}, "was given " + other, "was given " + other},
	} {
		if got := tt.d.shortNames()(tt.in); got != tt.want {
			t.Errorf("%s: %q becomes %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestSummaryLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   Summary
		want string
	}{
		{Summary{}, "0 mappings, 0 in sync; 0 findings (0 critical, 0 warning, 0 info); 0 to write, 0 left; 0 gaps"},
		{Summary{Mappings: 1, InSync: 1, Findings: 1, Info: 1, Gaps: 1}, "1 mapping, 1 in sync; 1 finding (0 critical, 0 warning, 1 info); 0 to write, 0 left; 1 gap"},
	} {
		if got := tt.in.line(); got != tt.want {
			t.Errorf("%+v\ngot  %s\nwant %s", tt.in, got, tt.want)
		}
	}
}

func TestModeTitles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode              desired.Mode
		would, done, name string
	}{
		{desired.ModeRepair, "a round would write", "written", "mode repair"},
		{desired.ModeMigrate, "a round would write", "written", "mode migrate"},
		{desired.ModeObserve, "in mode repair a round would write (mode observe: nothing is written)", "would write (mode observe: not done)", "mode observe"},
		{"", "in mode repair a round would write (no configuration: nothing is written)", "would write (no configuration: not done)", "no configuration"},
		{"<b>", "in mode repair a round would write (a mode that is not known: nothing is written)",
			"would write (a mode that is not known: not done)", "a mode that is not known"},
	} {
		if diff := cmp.Diff([]string{tt.would, tt.done, tt.name}, []string{wouldWrite(tt.mode), written(tt.mode), modeName(tt.mode)}); diff != "" {
			t.Errorf("mode %q (-want +got)\n%s", tt.mode, diff)
		}
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	of := func(severities ...diff.Severity) (d Diff) {
		for _, s := range severities {
			d.Findings = append(d.Findings, Finding{Severity: s})
		}
		return d
	}
	unread, unknown := of(diff.Critical), Diff{Mappings: []Mapping{{Class: diff.Blind, Unknown: []string{"pods"}}}}
	unread.Gaps = make([]live.Gap, 2)
	for _, tt := range []struct {
		d    Diff
		want string
	}{
		{of(), "in sync"},
		{of(diff.Warning, diff.Critical, diff.Warning, diff.Critical), "2 critical, 2 warnings"},
		{of(diff.Info, diff.Warning, diff.Info), "1 warning, 2 info"},
		{of(diff.Info), "1 info"},
		{unread, "1 critical, 2 gaps"},
		{Diff{Gaps: make([]live.Gap, 1)}, "not everything could be read"},
		{unknown, "not everything could be read"},
	} {
		if got := verdict(tt.d); got != tt.want {
			t.Errorf("%d findings, %d gaps: verdict %q, want %q", len(tt.d.Findings), len(tt.d.Gaps), got, tt.want)
		}
	}
}

func TestWorstFirst(t *testing.T) {
	t.Parallel()
	of := func(name string, s diff.Severity, message string) Finding {
		return Finding{Namespace: "demo", ServiceAccount: name, Severity: s, Message: message}
	}
	d := Diff{Findings: []Finding{
		of("a", diff.Info, "1"),
		of("b", diff.Warning, "2"), of("b", diff.Critical, "3"),
		of("c", diff.Warning, "4"),
		of("d", diff.Critical, "5"),
		{Severity: diff.Critical, Message: "6"},
	}}
	order := func(all []Finding) (s string) {
		for _, f := range all {
			s += f.Message
		}
		return s
	}
	if got, want := order(d.worstFirst()), "623541"; got != want {
		t.Errorf("by subject: order %s, want %s", got, want)
	}
	cells := ""
	for _, r := range d.rows()[1:] {
		cells += r.cells[5]
	}
	if want := "635241"; cells != want {
		t.Errorf("in the table: order %s, want %s", cells, want)
	}
	if got, want := order(d.Findings), "123456"; got != want {
		t.Errorf("the report itself was reordered: %s, want %s", got, want)
	}
}

func TestNews(t *testing.T) {
	t.Parallel()
	who := identity.Subject{Namespace: "demo", ServiceAccount: "a"}
	d := Diff{Findings: []Finding{
		{Namespace: "demo", ServiceAccount: "a", Message: "too wide"},
		{Namespace: "demo", ServiceAccount: "a", Message: "too wide: by far"},
		{Namespace: "demo", ServiceAccount: "b", Message: "another's"},
		{Namespace: "demo", ServiceAccount: "a"},
	}}
	for _, tt := range []struct{ message, want string }{
		{"too wide: narrow it", "narrow it"},
		{"too wide; it stays", "it stays"},
		{"too wide: by far: narrow it", "narrow it"},
		{"too wide", "see above"},
		{"too wider: narrow it", "too wider: narrow it"},
		{"the role (too wide): add it", "the role: add it"},
		{"another's: add it", "another's: add it"},
		{"settling", "settling"},
	} {
		if got := d.news(plan.Hold{Subject: who, Message: tt.message}); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.message, got, tt.want)
		}
	}
}
