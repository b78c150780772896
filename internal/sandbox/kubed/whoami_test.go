package kubed

import (
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWhoAmI: who asks is told who it is, nothing is stored, and it is on record.
func TestWhoAmI(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t)
	for user, want := range map[string]string{"lanyard": "system:serviceaccount:lanyard:lanyard", "system:admin": "system:admin"} {
		ask := func() (*authenticationv1.SelfSubjectReview, error) {
			return c.Client(user).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		}
		for range 2 {
			if got, err := ask(); err != nil || got.Status.UserInfo.Username != want {
				t.Errorf("user %s is %v, %v; want %s", user, got, err, want)
			}
		}
		if n := len(c.Calls(user)); n != 2 {
			t.Errorf("%d calls of %s are on record, want 2", n, user)
		}
		remove := c.Inject(Fault{User: user, Resource: "selfsubjectreviews"})
		if _, err := ask(); !apierrors.IsForbidden(err) {
			t.Errorf("with a fault: %v, want it forbidden", err)
		}
		remove()
	}
}

// TestSeedManifests: what is seeded as YAML is there, or an error.
func TestSeedManifests(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t)
	if err := c.SeedManifests("# two\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: x}\ndata: {k: v}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: x}\n"); err != nil {
		t.Fatal(err)
	}
	m, err := c.Client("t").CoreV1().ConfigMaps("x").Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || m.Data["k"] != "v" {
		t.Errorf("ConfigMap is %v, %v", m, err)
	}
	if _, err := c.Client("t").CoreV1().Pods("x").Get(t.Context(), "b", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	if err := c.SeedManifests("apiVersion: example.com/v1\nkind: Unknown\n"); err == nil || !strings.Contains(err.Error(), "Unknown") {
		t.Errorf("an unknown kind: %v", err)
	}
}
