package app

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/lanyard-io/lanyard/internal/hook"
	"github.com/lanyard-io/lanyard/sync/status"
)

// apiServer is one that knows alice, who may get /api/v1/status.
func apiServer(t *testing.T, reviewErr error) *fake.Clientset {
	t.Helper()
	kube := fake.NewClientset()
	kube.PrependReactor("create", "tokenreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		if r.Spec.Token == "alice-token" {
			r.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "alice", Groups: []string{"readers"}}}
		}
		return true, r, reviewErr
	})
	kube.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		n := r.Spec.NonResourceAttributes
		r.Status.Allowed = r.Spec.User == "alice" && n.Path == "/lanyard/api/v1/status" && n.Verb == "get" && len(r.Spec.Groups) == 1
		return true, r, nil
	})
	return kube
}

// TestAuthorize: a token of the file reads everything, a Kubernetes token what its
// bearer may get, and everybody else nothing; where nobody can be asked, nobody is in.
func TestAuthorize(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("\nold\n new \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	both := DaemonOptions{APITokenFile: file, APIAccess: true}
	for _, tt := range []struct {
		name, bearer, path string
		o                  DaemonOptions
		down               error
		allowed            bool
		err                error
	}{
		{name: "a token of the file", bearer: "old", path: "/api/v1/snapshot", o: both, allowed: true},
		{name: "another of it", bearer: "new", path: "/api/v1/snapshot", o: both, allowed: true},
		{name: "alice, her path", bearer: "alice-token", path: "/api/v1/status", o: both, allowed: true},
		{name: "alice, another path", bearer: "alice-token", path: "/api/v1/snapshot", o: both},
		{name: "nobody", bearer: "x", path: "/api/v1/status", o: both, err: status.ErrUnauthenticated},
		{name: "an empty token", bearer: "", path: "/api/v1/status", o: both, err: status.ErrUnauthenticated},
		{name: "no access for Kubernetes tokens", bearer: "alice-token", path: "/api/v1/status", o: DaemonOptions{APITokenFile: file}, err: status.ErrUnauthenticated},
		{name: "the API server is down", bearer: "alice-token", path: "/api/v1/status", o: both, down: errors.New("down"), err: errors.New("down")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			allowed, err := authorize(tt.o, apiServer(t, tt.down))(t.Context(), tt.bearer, tt.path)
			if allowed != tt.allowed || (err == nil) != (tt.err == nil) || errors.Is(tt.err, status.ErrUnauthenticated) != errors.Is(err, status.ErrUnauthenticated) {
				t.Errorf("allowed %t, %v; want %t, %v", allowed, err, tt.allowed, tt.err)
			}
		})
	}
	if authorize(DaemonOptions{}, nil) != nil {
		t.Error("without a token file and without access there is an API")
	}
}

// TestSecretsRotate: secrets are read for each delivery, one a line; a file that is
// gone has none.
func TestSecretsRotate(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	of := secrets(map[string][]string{"github": {file}})
	if got := of(hook.GitHub); len(got) != 0 {
		t.Errorf("a missing file has %q", got)
	}
	for text, want := range map[string]int{"a\n": 1, "a\nb": 2, "\n \n": 0} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := of(hook.GitHub); len(got) != want {
			t.Errorf("%q has %q; want %d secrets", text, got, want)
		}
		if err := CheckSecrets(file); (err == nil) != (want > 0) {
			t.Errorf("%q is checked with %v", text, err)
		}
	}
	if got := of(hook.GitLab); len(got) != 0 {
		t.Errorf("another provider has %q", got)
	}
}
