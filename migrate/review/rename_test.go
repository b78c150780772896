package review_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate/review"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// TestRenamed: a new mapping is an old one at the same place, or the only one with its role
// if it is the only new one with that; each old one is one new one at most.
func TestRenamed(t *testing.T) {
	t.Parallel()
	snap := snapshot(t, facts(t))
	for _, test := range []struct {
		name       string
		base, head string // name, file and line, role
		want       string
	}{
		{"the same place", "a f:1 x", "b f:1 y", "b was a"},
		{"another line", "a f:1 x", "b f:2 y", "a deleted, b added"},
		{"the same role", "a f:1 x", "b g:1 x", "b was a"},
		{"the place before the role", "a f:1 x, b g:1 y", "c g:1 x", "a deleted, c was b"},
		{"a template's place, in order", "a f:1 x, b f:1 y, c f:1 z", "d f:1 u, e f:1 v", "c deleted, d was a, e was b"},
		{"two old ones with the role", "a f:1 x, b f:2 x", "c g:1 x", "a deleted, b deleted, c added"},
		{"two new ones with the role", "a f:1 x", "b g:1 x, c g:2 x", "a deleted, b added, c added"},
		{"the other one with the role is found", "a f:1 x, b f:2 x", "c f:1 y, d g:1 x", "c was a, d was b"},
		{"the only one with the role is found", "a f:1 x", "b f:1 y, c g:1 x", "b was a, c added"},
		{"two new ones, of which one was found by its place", "a f:1 x, b f:2 x", "c f:1 x, d g:1 x", "b deleted, c was a, d added"},
		{"still there", "a f:1 x", "a f:1 x, b f:1 x", "b added"},
	} {
		r := review.New(review.Input{Base: mappings(t, test.base), Head: mappings(t, test.head), Snapshot: snap, Policy: plan.DefaultPolicy()})
		var got []string
		for _, w := range r.Workloads {
			one := w.ServiceAccount + " " + string(w.Change)
			if w.From != "" {
				one = w.ServiceAccount + " was " + strings.TrimPrefix(w.From, "names/")
			}
			if w.Change != review.Affected {
				got = append(got, one)
			}
		}
		slices.Sort(got)
		if diff := gocmp.Diff(test.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.name, diff)
		}
	}
}

// mappings reads "NAME FILE:LINE ROLE, ...".
func mappings(t *testing.T, text string) desired.State {
	t.Helper()
	s := desired.State{Cluster: "irsa-lab"}
	for one := range strings.SplitSeq(text, ", ") {
		var name, at, role string
		if _, err := fmt.Sscan(one, &name, &at, &role); err != nil {
			t.Fatal(err)
		}
		m := desired.Undeclared(identity.Subject{Namespace: "names", ServiceAccount: name}, identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: role}, identity.IRSA)
		if _, err := fmt.Sscanf(strings.Replace(at, ":", " ", 1), "%s %d", &m.At.File, &m.At.Line); err != nil {
			t.Fatal(err)
		}
		s.Mappings = append(s.Mappings, m)
	}
	return s
}

// TestPlaceOfBefore: a finding about the name of before, of which Git says nothing any
// more, is told where Git said it; what is of the new one is told at its own place.
func TestPlaceOfBefore(t *testing.T) {
	t.Parallel()
	in := pull(t, "rename")
	in.Head.Mappings = slices.Clone(in.Head.Mappings)
	for i := range in.Head.Mappings {
		if m := &in.Head.Mappings[i]; m.Subject.ServiceAccount == "api-v2" {
			m.At.File, m.RoleAt.File, m.MechanismAt.File = "fleet/new.yaml", "fleet/new.yaml", "fleet/new.yaml"
		}
	}
	var b bytes.Buffer
	if err := review.New(in).SARIF(&b); err != nil {
		t.Fatal(err)
	}
	var log struct {
		Runs []struct {
			Results []struct {
				RuleID    string
				Locations []struct {
					PhysicalLocation struct{ ArtifactLocation struct{ URI string } }
				}
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range log.Runs[0].Results {
		for _, l := range r.Locations {
			got[r.RuleID] = l.PhysicalLocation.ArtifactLocation.URI
		}
	}
	for rule, want := range map[string]string{"mapping-gone": "fleet/payments/api.yaml", "leaves-behind": "fleet/new.yaml", "service-account-missing": "fleet/new.yaml"} {
		if got[rule] != want {
			t.Errorf("%s is told at %q, want %q", rule, got[rule], want)
		}
	}
}

// TestRailOfMany: what a guard rail says of several mappings is said once, of each rule.
func TestRailOfMany(t *testing.T) {
	t.Parallel()
	const said = "the operator's guard rails forbid this mapping, so nothing is written for it: "
	p := plan.DefaultPolicy()
	p.Diff.Forbid = func(m desired.Mapping) (string, bool) { return m.Role.Name, m.Role.Name != "x" }
	r := review.New(review.Input{Base: mappings(t, "a f:1 x"), Head: mappings(t, "a f:1 x, b f:2 y, c f:3 z, d f:4 y"), Snapshot: snapshot(t, facts(t)), Policy: p})
	var got []string
	for _, rail := range r.Rails {
		got = append(got, rail.Message+": "+strings.Join(rail.Mappings, ","))
	}
	if diff := gocmp.Diff([]string{said + "y: names/b,names/d", said + "z: names/c"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
