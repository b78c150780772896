package desired_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanyard-io/lanyard/desired"
)

// BenchmarkParse reads the 5,000 mappings of design.md section 10, defaults
// applied and templates expanded.
func BenchmarkParse(b *testing.B) {
	fsys := fstest.MapFS{"defaults.yaml": file(`apiVersion: lanyard.io/v1alpha1
kind: IdentityDefaults
spec: {mechanism: pod-identity, roleARN: "arn:${partition}:iam::${accountID}:role/${cluster}-${namespace}-${serviceAccount}"}
`)}
	for team := range 50 {
		var all strings.Builder
		for app := range 100 {
			fmt.Fprintf(&all, "---\napiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {namespace: team-%d, name: app-%d}\nspec: {clusters: [\"irsa-*\"], adopt: [trust]}\n", team, app)
		}
		fsys[fmt.Sprintf("teams/%d.yaml", team)] = file(all.String())
	}
	b.ReportAllocs()
	for b.Loop() {
		repo, err := desired.Parse(fsys, nil, worktree)
		if err != nil {
			b.Fatal(err)
		}
		state, err := repo.For(lab)
		if err != nil || len(state.Mappings) != 5000 {
			b.Fatal(len(state.Mappings), err)
		}
	}
}
