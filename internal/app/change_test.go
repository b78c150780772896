package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// mappingOf is a mapping with its name three lines above its mechanism, so that two
// changes to it can be merged.
func mappingOf(name, mechanism string) string {
	return "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata:\n  name: " + name + "\n  namespace: demo\nspec:\n" +
		"  roleARN: arn:aws:iam::123456789012:role/" + name + "\n  mechanism: " + mechanism + "\n"
}

// TestChange reads what merging several heads does, from one open repository.
func TestChange(t *testing.T) {
	t.Parallel()
	repo, err := gitd.Init(t.TempDir() + "/fleet.git")
	if err != nil {
		t.Fatal(err)
	}
	commit := func(branch string, write map[string]string, gone ...string) string {
		t.Helper()
		hash, err := repo.Commit(gitd.Change{Branch: branch, Write: write, Delete: gone, By: gitd.By(time.Unix(1e9, 0))})
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	branch := func(name, at string) {
		t.Helper()
		if err := repo.SetBranch(name, at); err != nil {
			t.Fatal(err)
		}
	}
	first := commit("main", map[string]string{"fleet/a.yaml": mappingOf("a", "irsa"), "fleet/b.yaml": mappingOf("b", "irsa")})
	for _, name := range []string{"flip", "broken", "conflict", "new-path", "twice", "gone"} {
		branch(name, first)
	}
	commit("main", map[string]string{"fleet/c.yaml": mappingOf("c", "irsa"), "fleet/b.yaml": mappingOf("b", "auto")})
	commit("flip", map[string]string{"fleet/a.yaml": mappingOf("a", "pod-identity")})
	commit("broken", map[string]string{"fleet/a.yaml": mappingOf("a", "pod-identety")})
	commit("conflict", map[string]string{"fleet/b.yaml": mappingOf("b", "pod-identity")})
	commit("new-path", map[string]string{"team/x.yaml": mappingOf("x", "irsa")})
	commit("twice", map[string]string{"fleet/d.yaml": mappingOf("c", "irsa")}) // as in main's c.yaml
	commit("gone", nil, "fleet")
	server, err := gitd.Serve(t.Context(), repo, gitd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	open := func(paths ...string) *app.Git {
		t.Helper()
		git, err := app.OpenGit(app.Desired{Source: &desired.Source{URL: server.URL, Ref: "main", Paths: paths}, WorkDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = git.Close() })
		return git
	}
	git, both := open("fleet"), open("fleet", "team")
	lab := identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: "123456789012", Partition: "aws"}
	wishes := func(s desired.State) string {
		var all []string
		for _, m := range s.Mappings {
			all = append(all, m.Name+" "+m.Mechanism.String())
		}
		return strings.Join(all, ", ")
	}
	for _, tt := range []struct {
		git                 *app.Git
		head, want, refused string
		behind              bool
	}{
		{git, "flip", "a pod-identity, b auto, c irsa", "", true},
		{git, "broken", "", "fleet/a.yaml:8:14: spec.mechanism", true},
		{git, "conflict", "", "fleet/b.yaml: a conflict: it was changed in main and changed here", true},
		{git, "twice", "", "a second mapping for ServiceAccount demo/c", true},
		{git, "gone", "", "fleet/b.yaml: a conflict: it was changed in main and deleted here", true},
		{both, "new-path", "a irsa, b auto, c irsa, x irsa", "", true},
		{git, "new-path", "a irsa, b auto, c irsa", "", true},
		{git, "", "a irsa, b auto, c irsa", "", false},
	} {
		c, err := tt.git.Change(t.Context(), "main", tt.head)
		if err != nil {
			t.Errorf("%s: %v", tt.head, err)
			continue
		}
		p, err := c.For(lab)
		if err != nil {
			t.Errorf("%s: %v", tt.head, err)
			continue
		}
		if got := wishes(p.Base); got != "a irsa, b auto, c irsa" {
			t.Errorf("%s: base wants %s", tt.head, got)
		}
		if got := wishes(p.Head); got != tt.want || c.Behind != tt.behind || (tt.refused == "") != (len(p.Refused) == 0) {
			t.Errorf("%s: head wants %s, behind %t, refused %v, want %s, %t, %q", tt.head, got, c.Behind, p.Refused, tt.want, tt.behind, tt.refused)
		}
		if tt.refused != "" && !strings.Contains(p.Refused.Error(), tt.refused) {
			t.Errorf("%s: refused %v, want %q", tt.head, p.Refused, tt.refused)
		}
		if name := tt.head; name != "" && p.Head.Revision.Ref != name || p.Head.Cluster != "irsa-lab" || p.Base.Revision.Ref != "main" {
			t.Errorf("%s: %v of %s and %v", name, p.Head.Revision, p.Head.Cluster, p.Base.Revision)
		}
	}
	c, err := git.Change(t.Context(), "main", "flip")
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.For(lab)
	if diff := cmp.Diff("a pod-identity, a irsa, b auto, b auto, c irsa, c irsa", wishes(p.All())); err != nil || diff != "" {
		t.Errorf("All: %v (-want +got):\n%s", err, diff)
	}
	if _, err := git.Change(t.Context(), "broken", "main"); err == nil || !strings.Contains(err.Error(), "base broken@sha1:") || !strings.Contains(err.Error(), "fleet/a.yaml:8:14") {
		t.Errorf("a broken base: %v", err)
	}
	main, err := repo.Head("main")
	if err != nil {
		t.Fatal(err)
	}
	branch("two", main)
	commit("two", map[string]string{"fleet/d.yaml": mappingOf("c", "irsa")})
	if c, err := git.Change(t.Context(), "two", "main"); err != nil {
		t.Error(err)
	} else if _, err := c.For(lab); err == nil || !strings.Contains(err.Error(), "base two@sha1:") || !strings.Contains(err.Error(), "a second mapping") {
		t.Errorf("a base that is broken for the cluster: %v", err)
	}
}
