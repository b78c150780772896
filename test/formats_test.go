package test_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/status"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// formatsV1 is what releases v1 left in clusters, roles and files. See its README: what
// stands there is not edited, whatever becomes of the code.
const formatsV1 = "testdata/formats/v1/"

func formatFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(formatsV1 + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// lost lists what stands in was and not, or otherwise, in is.
func lost(path string, was, is any) (out []string) {
	switch was := was.(type) {
	case map[string]any:
		now, _ := is.(map[string]any)
		for key, value := range was {
			out = append(out, lost(path+"."+key, value, now[key])...)
		}
	case []any:
		now, _ := is.([]any)
		if len(now) != len(was) {
			return append(out, fmt.Sprintf("%s: %d of %d are read", path, len(now), len(was)))
		}
		for i, value := range was {
			out = append(out, lost(fmt.Sprintf("%s[%d]", path, i), value, now[i])...)
		}
	default:
		if !reflect.DeepEqual(was, is) {
			out = append(out, fmt.Sprintf("%s: %v is read as %v", path, was, is))
		}
	}
	slices.Sort(out)
	return out
}

// kept: a document that was read, and is written again, still says all that it said.
func kept(t *testing.T, name string, written []byte) {
	t.Helper()
	var was, is any
	if err := json.Unmarshal(formatFile(t, name), &was); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(written, &is); err != nil {
		t.Fatal(err)
	}
	if all := lost("", was, is); len(all) > 0 {
		t.Errorf("of %s:\n%s", name, strings.Join(all, "\n"))
	}
}

// TestFormatsSnapshot: a snapshot that v1 took, with every field and every kind of gap, is
// still read, and in full.
func TestFormatsSnapshot(t *testing.T) {
	t.Parallel()
	s, err := live.Decode(formatFile(t, "snapshot.json"))
	if err != nil {
		t.Fatal(err)
	}
	written, err := s.Facts().EncodeJSON()
	if err != nil {
		t.Fatal(err)
	}
	kept(t, "snapshot.json", written)
}

// TestFormatsStatus: the status of a daemon of v1 is still read, and in full.
func TestFormatsStatus(t *testing.T) {
	t.Parallel()
	var s status.Status
	if err := json.Unmarshal(formatFile(t, "status.json"), &s); err != nil {
		t.Fatal(err)
	}
	written, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	kept(t, "status.json", written)
}

// marksV1 are the marks that v1 left, in its file.
type marksV1 struct {
	RolledBack []struct {
		Mapping, Mark, Reason string
		Times                 []time.Time
		Holds                 bool
	}
	Sids []struct {
		Mechanism identity.Mechanism
		Width     identity.Width
		Sid       string
	}
	Associations []struct {
		Why  string
		Tags map[string]string
		Ours bool
	}
	FieldManager string
	Pause        string
}

// TestFormatsMarks: the marks that v1 left are still known: whose an association and a
// statement are, who set an annotation, and which mapping must not be tried again.
func TestFormatsMarks(t *testing.T) {
	t.Parallel()
	var marks marksV1
	if err := yaml.UnmarshalStrict(formatFile(t, "marks.yaml"), &marks); err != nil {
		t.Fatal(err)
	}
	snapshot, err := live.Decode(formatFile(t, "snapshot.json"))
	if err != nil {
		t.Fatal(err)
	}
	cluster := snapshot.Cluster()
	repo, err := desired.Parse(os.DirFS(formatsV1), []string{"fleet.yaml"}, desired.Revision{Ref: "main"})
	if err != nil {
		t.Fatal(err)
	}
	state, err := repo.For(cluster)
	if err != nil {
		t.Fatal(err)
	}
	mappings := map[string]desired.Mapping{}
	for _, m := range state.Mappings {
		mappings[m.Subject.String()] = m
	}
	for _, r := range marks.RolledBack {
		m, there := mappings[r.Mapping]
		if !there {
			t.Errorf("no mapping %s", r.Mapping)
		}
		mark, err := migrate.ParseMark(r.Mark)
		if err != nil {
			t.Errorf("%q: %v", r.Mark, err)
		}
		if mark.Reason != r.Reason || !slices.EqualFunc(mark.At, r.Times, time.Time.Equal) || mark.String() != r.Mark {
			t.Errorf("%q is read as %+v", r.Mark, mark)
		}
		if mark.Holds(m) != r.Holds {
			t.Errorf("%q holds %s: %t, want %t; the mapping's digest is now %s", r.Mark, r.Mapping, !r.Holds, r.Holds, migrate.Digest(m))
		}
	}
	subject := identity.Subject{Namespace: "demo", ServiceAccount: "s3-reader"}
	var sids, want []string
	for _, s := range marks.Sids {
		want = append(want, s.Sid)
		sids = append(sids, trust.Grant{Mechanism: s.Mechanism, Width: s.Width, Subject: subject, Cluster: cluster}.Sid())
		if !trust.IsLanyardSid(s.Sid) {
			t.Errorf("%s is taken for another's", s.Sid)
		}
	}
	if diff := cmp.Diff(want, sids); diff != "" {
		t.Errorf("Sids (-v1 +code)\n%s", diff)
	}
	if diff := cmp.Diff(want, trust.OwnSids(cluster, subject)); diff != "" {
		t.Errorf("Sids that are taken for the subject's own (-v1 +code)\n%s", diff)
	}
	for _, a := range marks.Associations {
		if ours := diff.Ours(live.Association{Namespace: "demo", ServiceAccount: "s3-reader", Tags: a.Tags}, cluster); ours != a.Ours {
			t.Errorf("an association with %s is ours: %t", a.Why, ours)
		}
	}
	if marks.FieldManager != diff.FieldManager || marks.Pause != diff.PauseMark {
		t.Errorf("field manager %q, pause %q", diff.FieldManager, diff.PauseMark)
	}
	if n := min(len(marks.RolledBack), len(marks.Sids), len(marks.Associations)); n < 3 {
		t.Errorf("%d marks of a kind; the file is not read", n)
	}
}
