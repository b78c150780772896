package desired_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
)

// TestUndeclared: the defaults of a mapping that Git does not have are those of one
// that it has, with nothing but what must be there.
func TestUndeclared(t *testing.T) {
	repo, err := desired.Parse(fstest.MapFS{"a.yaml": file(mapping("demo", "api", ", adopt: [annotation, trust, association]"))}, []string{"."}, desired.Revision{})
	if err != nil {
		t.Fatal(err)
	}
	state, err := repo.For(identity.Cluster{Name: "irsa-lab", Partition: "aws", Region: "eu-west-1", Account: "123456789012"})
	if err != nil || len(state.Mappings) != 1 {
		t.Fatalf("%d mappings, %v", len(state.Mappings), err)
	}
	want := state.Mappings[0]
	got := desired.Undeclared(want.Subject, want.Role, want.Mechanism)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(desired.Mapping{}, "At", "RoleAt", "MechanismAt"), cmp.AllowUnexported(desired.Windows{})); diff != "" {
		t.Errorf("-declared +undeclared\n%s", diff)
	}
}
