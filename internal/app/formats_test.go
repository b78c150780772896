package app

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

// TestFormatsLease: what a release v1 left on the Lease is still known: the accepted commit,
// the acceptance that is spent, the hour's removals, and a hook that another replica got.
func TestFormatsLease(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../test/testdata/formats/v1/lease.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lease := &coordinationv1.Lease{}
	if err := yaml.UnmarshalStrict(data, lease); err != nil {
		t.Fatal(err)
	}
	b, err := openBook(t.Context(), fake.NewClientset(lease), Lease{Namespace: "lanyard"}.withDefaults(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	type book struct {
		Accepted, Spent string
		Removals        []time.Time
	}
	want := book{"4f2d9c0e8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d", "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
		[]time.Time{time.Date(2026, 11, 23, 8, 12, 0, 0, time.UTC), time.Date(2026, 11, 23, 8, 40, 30, 0, time.UTC)}}
	if diff := cmp.Diff(want, book{b.Accepted(), b.Spent(), b.Removals()}); diff != "" {
		t.Errorf("the Lease of v1 (-want +got)\n%s", diff)
	}
	d := &Daemon{leads: true, woken: make(chan struct{}, 1)}
	if d.heard(lease); len(d.woken) != 1 {
		t.Error("the hook that another replica got is not heard of")
	}
}
