package census_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/census"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
)

// take takes the census of the example's live world, changed; reads what was written as
// Git's, and compares it with that world.
func take(t testing.TB, change func(f *live.Facts)) (census.Census, desired.State, diff.Result) {
	t.Helper()
	f, err := live.DecodeFacts(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&f)
	}
	return takeOf(t, f)
}

func takeOf(t testing.TB, f live.Facts) (census.Census, desired.State, diff.Result) {
	t.Helper()
	snap, err := live.New(f)
	if err != nil {
		t.Fatal(err)
	}
	c, err := census.Take(snap, diff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for _, file := range c.Files {
		files[file.Name] = &fstest.MapFile{Data: file.Text}
	}
	repo, err := desired.Parse(files, []string{"."}, desired.Revision{})
	if err != nil {
		t.Fatalf("what was written is not well formed: %v", err)
	}
	state, err := repo.For(snap.Cluster())
	if err != nil {
		t.Fatal(err)
	}
	return c, state, diff.Compare(state, snap, diff.Options{})
}

// settled holds what import promises: what it wrote reads back as those mappings, and
// differs from the live world in nothing.
func settled(t testing.TB, c census.Census, state desired.State, r diff.Result) {
	t.Helper()
	var read []identity.Subject
	for _, m := range state.Mappings {
		read = append(read, m.Subject)
	}
	if fmt.Sprint(read) != fmt.Sprint(c.Written) {
		t.Errorf("read back are %v, written %v", read, c.Written)
	}
	for _, f := range r.Findings {
		if f.Kind == diff.MappingGone && slices.Contains(c.Left, f.Subject) {
			continue // it bears lanyard's mark, and could not be taken back
		}
		t.Errorf("a difference: %s %s: %s", f.Subject, f.Kind, f.Message)
	}
	for _, m := range state.Mappings {
		if m.Adopt != (desired.Adopt{}) {
			t.Errorf("%s adopts something", m.Subject)
		}
	}
	both := map[identity.Subject]bool{}
	for _, s := range append(append([]identity.Subject{}, c.Written...), c.Left...) {
		if both[s] {
			t.Errorf("%s is there twice", s)
		}
		both[s] = true
	}
}

// TestExample: of the example's world, what is sound becomes mappings, and each of the
// rest says what is wrong with it.
func TestExample(t *testing.T) {
	t.Parallel()
	c, state, r := take(t, nil)
	settled(t, c, state, r)
	if got := fmt.Sprint(c.Written); !strings.Contains(got, "demo/s3-reader") || !strings.Contains(got, "karpenter/karpenter") || len(c.Written) < 5 {
		t.Errorf("written: %s", got)
	}
	all := ""
	for _, f := range c.Files {
		all += string(f.Text)
	}
	for _, want := range []string{
		"# yaml-language-server: $schema=lanyard.schema.json",
		"# - trust-subject-missing: statement 1 allows demo/s3-reader, the pod is demo2/s3-reader",
		"# - its association is EKS add-on vpc-cni's, which would put its own back",
		"# monitoring/prometheus: used by ",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing says %q in\n%s", want, all)
		}
	}
}

// TestWidths: the width of the trust that stands is the one that is written, also with
// session tags off, a target role and an annotation that was left.
func TestWidths(t *testing.T) {
	t.Parallel()
	const statement = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]%s}]}`
	for name, test := range map[string]struct {
		condition string
		change    func(a *live.Association)
		want      []string
	}{
		"bare":    {"", func(*live.Association) {}, []string{"podIdentity: {trust: bare}"}},
		"account": {`,"Condition":{"StringEquals":{"aws:SourceAccount":"123456789012"}}`, func(*live.Association) {}, []string{"podIdentity: {trust: account}"}},
		"no tags": {`,"Condition":{"StringEquals":{"aws:SourceAccount":"123456789012"}}`, func(a *live.Association) { a.SessionTagsOff = true }, []string{"podIdentity: {sessionTags: false}"}},
		"policy": {"", func(a *live.Association) { a.SessionTagsOff, a.SessionPolicy = true, `{"Version":"2012-10-17"}` },
			[]string{`podIdentity: {sessionTags: false, trust: bare, sessionPolicy: "{\"Version\":\"2012-10-17\"}"}`}},
	} {
		c, state, r := take(t, func(f *live.Facts) {
			i := 0
			for f.Associations[i].Namespace != "payments" {
				i++
			}
			a := f.Associations[i]
			test.change(&a)
			for j := range f.Roles {
				if f.Roles[j].ARN == a.Role {
					f.Roles[j].TrustPolicy = fmt.Sprintf(statement, test.condition)
				}
			}
			f.Associations = []live.Association{a}
		})
		settled(t, c, state, r)
		for _, f := range c.Files {
			if f.Name != "payments.yaml" {
				continue
			}
			for _, want := range test.want {
				if !strings.Contains(string(f.Text), "\n  "+want+"\n") {
					t.Errorf("%s: no %q in\n%s", name, want, f.Text)
				}
			}
		}
	}
}

// TestHostile: what others wrote into names, annotations and policies breaks neither a
// file's name nor its YAML, and is not taken for a mapping.
func TestHostile(t *testing.T) {
	t.Parallel()
	const injected = "{apiVersion: lanyard.io/v1alpha1, kind: IdentityMapping, metadata: {name: x, namespace: x}, spec: {roleARN: arn:aws:iam::123456789012:role/x, mechanism: irsa}}"
	const evil = "arn:aws:iam::123456789012:role/x\n---\nkind: IdentityMapping\u2028# \u0085---\u0085" + injected + "\u0085# \x7f\u202e\ufeff: {"
	c, state, r := take(t, func(f *live.Facts) {
		f.ServiceAccounts[0].Annotations = map[string]string{diff.AnnotationRole: evil, diff.AnnotationAudience: evil, diff.AnnotationExpiration: evil, diff.AnnotationRegional: evil}
		f.ServiceAccounts[1].Tool = evil
		f.ServiceAccounts[1].Managers = nil
	})
	settled(t, c, state, r)
	for _, file := range c.Files {
		if i := strings.IndexFunc(string(file.Text), func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }); i >= 0 {
			t.Errorf("%s has %q", file.Name, file.Text[i:min(i+8, len(file.Text))])
		}
	}
	f, err := live.DecodeFacts(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	f.ServiceAccounts = append(f.ServiceAccounts, live.ServiceAccount{Namespace: "../../etc", Name: "x", Annotations: map[string]string{diff.AnnotationRole: "arn:aws:iam::123456789012:role/x"}})
	snap, err := live.New(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := census.Take(snap, diff.Options{}); err == nil {
		t.Error("a namespace that leads out of the directory was taken")
	}
}

// TestGaps: what was not read is left out, whatever the rest says.
func TestGaps(t *testing.T) {
	t.Parallel()
	for _, source := range []live.Source{live.SourceListAssociations, live.SourcePods, live.SourceServiceAccounts, live.SourceRole, live.SourceIssuer} {
		c, state, r := take(t, func(f *live.Facts) {
			f.Gaps = append(f.Gaps, live.Gap{Source: source, Reason: live.GapRefused, Message: "refused"})
			if source == live.SourceIssuer {
				f.Cluster.APIServerIssuer = ""
			}
		})
		if source == live.SourceIssuer { // no mapping, and the cluster's own finding stays
			if len(c.Written) > 0 {
				t.Errorf("%v were written of a cluster that is not known to be the one", c.Written)
			}
			continue
		}
		settled(t, c, state, r)
	}
}

// TestCost: twice the cluster costs about twice, and not four times: each ServiceAccount
// is compared with the whole cluster once. It is not parallel: it counts what the process
// allocates.
func TestCost(t *testing.T) {
	cost := func(n int) float64 {
		f, err := live.DecodeFacts(examples.Live)
		if err != nil {
			t.Fatal(err)
		}
		one := f.ServiceAccounts[slices.IndexFunc(f.ServiceAccounts, func(a live.ServiceAccount) bool { return a.Namespace == "demo" && a.Name == "s3-reader" })]
		for i := range n {
			one.Name = fmt.Sprintf("app-%04d", i)
			f.ServiceAccounts = append(f.ServiceAccounts, one)
		}
		snap, err := live.New(f)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := census.Take(snap, diff.Options{}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc - before.TotalAlloc)
	}
	cost(10) // what is made once
	if small, large := cost(300), cost(1200); large > 7*small {
		t.Errorf("a cluster four times as large costs %.1f times as much", large/small)
	}
}
