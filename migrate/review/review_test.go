package review_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/review"
	"github.com/lanyard-io/lanyard/sync/diff"
)

// said is a finding's words without its place, which may move.
func said(all []review.Finding) []string {
	out := []string{}
	for _, f := range all {
		out = append(out, fmt.Sprint(f.Namespace, "/", f.ServiceAccount, " ", f.Kind, " ", f.Severity, " ", f.Expected, " ", f.Actual, " ", f.Message))
	}
	slices.Sort(out)
	return out
}

func found(in review.Input, s desired.State) []string {
	if in.Mode == desired.ModeMigrate {
		o := in.Outline.Migrate
		o.Mappings = s.Mappings
		a := migrate.NewAssessor(in.Snapshot, o)
		s.Mappings = slices.Clone(s.Mappings)
		for i, m := range s.Mappings {
			s.Mappings[i] = a.Resolve(m)
		}
	}
	out := []string{}
	for _, f := range diff.Compare(s, in.Snapshot, in.Policy.Diff).Findings {
		out = append(out, fmt.Sprint(f.Subject.Namespace, "/", f.Subject.ServiceAccount, " ", f.Kind, " ", f.Severity, " ", f.Expected, " ", f.Actual, " ", f.Message))
	}
	slices.Sort(out)
	return out
}

// TestSubtraction: every finding of the head is either caused or was there before, and
// of the base there are as many as were there before and are healed.
func TestSubtraction(t *testing.T) {
	t.Parallel()
	for _, name := range pulls(t) {
		in := pull(t, name)
		r := reviewed(t, name)
		head := in.Head
		if len(in.Refused) > 0 {
			head = in.Base
		}
		if diff := gocmp.Diff(found(in, head), said(append(slices.Clone(r.Caused), r.Before...))); diff != "" {
			t.Errorf("%s: -head +caused and before\n%s", name, diff)
		}
		if got, want := len(r.Before)+len(r.Heals), len(found(in, in.Base)); got != want {
			t.Errorf("%s: %d findings before and healed, the base has %d", name, got, want)
		}
		for _, h := range r.Heals {
			if !slices.Contains(found(in, in.Base), said([]review.Finding{h})[0]) {
				t.Errorf("%s: heals what the base has not: %+v", name, h)
			}
		}
	}
}

// TestNothing: a base reviewed against itself causes, heals and touches nothing,
// whatever it is.
func TestNothing(t *testing.T) {
	t.Parallel()
	for _, name := range pulls(t) {
		in := pull(t, name)
		for side, s := range map[string]desired.State{"base": in.Base, "head": in.Head} {
			same := in
			same.Base, same.Head, same.Refused = s, s, nil
			r := review.New(same)
			if r.Changes() || len(r.Caused)+len(r.Heals)+len(r.Workloads)+len(r.Risks)+len(r.Together)+len(r.NewGaps) > 0 || r.Summary.Risk != review.None {
				t.Errorf("%s: its %s differs from itself: %+v", name, side, r.Summary)
			}
		}
	}
}

// TestPulls: each pull request in every form.
func TestPulls(t *testing.T) {
	t.Parallel()
	for _, name := range pulls(t) {
		r := reviewed(t, name)
		for form, write := range forms(r) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, name+"."+form, b.Bytes())
		}
		if utf8.RuneCountInString(r.Summary.Line) > 140 {
			t.Errorf("%s: its line has more than 140 characters: %s", name, r.Summary.Line)
		}
	}
}

// TestChanges: what does nothing to the live world is no change, and what does something
// is one.
func TestChanges(t *testing.T) {
	t.Parallel()
	for _, name := range pulls(t) {
		want := !slices.Contains([]string{"nothing", "drift-only", "move", "options"}, name)
		if got := reviewed(t, name).Changes(); got != want {
			t.Errorf("%s changes something: %t, want %t", name, got, want)
		}
	}
}

// TestUnknownIsNotHealed: a finding that is not there because a fact is missing, or
// because nobody looks any more, is not told as healed.
func TestUnknownIsNotHealed(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"template": true, "delete": true, "rename": true, "heal": false, "flip-back": false} {
		r := reviewed(t, name)
		if len(r.Heals) == 0 {
			t.Errorf("%s ends nothing: it shows nothing", name)
		}
		for _, f := range r.Heals {
			if f.Dropped != want {
				t.Errorf("%s: %s %s/%s is dropped: %t, want %t", name, f.Kind, f.Namespace, f.ServiceAccount, f.Dropped, want)
			}
		}
		if strings.Contains(r.Summary.Line, "healed") == want {
			t.Errorf("%s: %s", name, r.Summary.Line)
		}
	}
}

// TestFails: a review fails on a risk or a higher one, on a reason of a risk or of a
// verdict, on the kind of a finding that it causes, and on drift.
func TestFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pull string
		on   []string
		want bool
	}{
		{"flip", []string{"low"}, true},
		{"flip", []string{"medium"}, false},
		{"flip", []string{"medium", "crosses"}, true},
		{"flip", []string{"exposes-pods"}, false},
		{"flip", []string{"association-missing"}, true},
		{"flip", []string{"trust-subject-missing"}, false}, // there before
		{"flip", nil, false},
		{"flip-back", []string{"high"}, true},
		{"flip-back", []string{"exposes-pods"}, true},
		{"flip-on-fargate", []string{"fargate"}, true},
		{"flip-on-fargate", []string{"windows"}, false},
		{"broken", []string{"high"}, true},
		{"broken", []string{"refused"}, true},
		{"defaults", []string{"many-mappings"}, true},
		{"nothing", []string{"low", "drift"}, false},
		{"drift-only", []string{"low"}, false},
		{"drift-only", []string{"drift"}, true},
	} {
		var on []review.FailOn
		for _, word := range test.on {
			f, err := review.ParseFailOn(word)
			if err != nil {
				t.Fatal(err)
			}
			on = append(on, f)
		}
		if got := reviewed(t, test.pull).Fails(on...); got != test.want {
			t.Errorf("%s fails on %v: %t, want %t", test.pull, test.on, got, test.want)
		}
	}
	if _, err := review.ParseFailOn("none"); err == nil || !strings.Contains(err.Error(), "drift") || !strings.Contains(err.Error(), "docs/reasons.md") {
		t.Errorf("a word that is none: %v", err)
	}
}

// TestEveryCodeHasAnExample: each reason for a risk is shown by a pull request of testdata.
func TestEveryCodeHasAnExample(t *testing.T) {
	t.Parallel()
	shown := map[review.Code]bool{}
	for _, name := range pulls(t) {
		r := reviewed(t, name)
		all := slices.Clone(r.Risks)
		worst := review.None
		for _, w := range r.Workloads {
			all = append(all, w.Risks...)
		}
		for _, d := range all {
			shown[d.Code] = true
			if d.Risk != d.Code.Risk() || d.Message == "" {
				t.Errorf("%s: %+v", name, d)
			}
			if d.Risk.AtLeast(worst) {
				worst = d.Risk
			}
		}
		if r.Summary.Risk != worst {
			t.Errorf("%s: the risk is %s, its worst reason %s", name, r.Summary.Risk, worst)
		}
	}
	for _, code := range review.Codes() {
		if !shown[code] {
			t.Errorf("%s has no example", code)
		}
	}
}

// forms are those that the goldens have.
func forms(r review.Review) map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"md":    func(w io.Writer) error { return r.Markdown(w, 60_000) },
		"txt":   func(w io.Writer) error { return r.Text(w, review.View{}) },
		"table": func(w io.Writer) error { return r.Table(w, review.View{}) },
		"sarif": r.SARIF,
		"json": func(w io.Writer) error {
			b, err := r.JSON()
			if err != nil {
				return err
			}
			_, err = w.Write(b)
			return err
		},
	}
}

func turned[T any](list []T) []T {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

// TestOrder: what the snapshot lists first is of no account.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, name := range pulls(t) {
		in := pull(t, name)
		want, err := reviewed(t, name).JSON()
		if err != nil {
			t.Fatal(err)
		}
		f := *in.Snapshot.Facts()
		f.Pods, f.Roles, f.ServiceAccounts = turned(f.Pods), turned(f.Roles), turned(f.ServiceAccounts)
		f.Associations, f.Workloads, f.Nodes = turned(f.Associations), turned(f.Workloads), turned(f.Nodes)
		in.Snapshot = snapshot(t, f)
		got, err := review.New(in).JSON()
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: -as it was +turned around\n%s", name, diff)
		}
	}
}
