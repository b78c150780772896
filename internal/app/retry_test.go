package app_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
)

// TestRetry: the mark goes, and nothing else; what bears none is told; a mark that changes
// at the same moment stays.
func TestRetry(t *testing.T) {
	t.Parallel()
	mark := migrate.Mark{Digest: "0123456789ab", At: []time.Time{time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}, Reason: "pod api-1 crash-loops"}.String()
	account := func(name string, annotations map[string]string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, UID: "u-1", Annotations: annotations}}
	}
	kube := fake.NewClientset(account("api", map[string]string{migrate.RolledBackMark: mark, "kept": "yes"}), account("plain", nil),
		account("odd", map[string]string{migrate.RolledBackMark: "by hand"}))
	subject := func(name string) identity.Subject {
		return identity.Subject{Namespace: "demo", ServiceAccount: name}
	}
	got := map[string]string{}
	run := func(dry bool, names ...string) {
		t.Helper()
		var subjects []identity.Subject
		for _, n := range names {
			subjects = append(subjects, subject(n))
		}
		clear(got)
		if err := app.Retry(t.Context(), app.Options{Kube: kube}, subjects, dry, func(s identity.Subject, m migrate.Mark, err error) {
			switch {
			case errors.Is(err, app.ErrNoMark):
				got[s.ServiceAccount] = "none"
			case err != nil:
				got[s.ServiceAccount] = err.Error()
			default:
				got[s.ServiceAccount] = m.Reason
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	annotations := func(name string) map[string]string {
		t.Helper()
		a, err := kube.CoreV1().ServiceAccounts("demo").Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return a.Annotations
	}

	if run(true, "api"); got["api"] != "pod api-1 crash-loops" || annotations("api")[migrate.RolledBackMark] != mark {
		t.Errorf("a dry run: got %q, and the mark %q", got["api"], annotations("api")[migrate.RolledBackMark])
	}
	run(false, "api", "plain", "odd", "missing")
	if got["api"] != "pod api-1 crash-loops" || got["plain"] != "none" || got["odd"] != "by hand" || !strings.Contains(got["missing"], "not found") {
		t.Errorf("got %q", got)
	}
	if a := annotations("api"); a[migrate.RolledBackMark] != "" || a["kept"] != "yes" {
		t.Errorf("annotations afterwards: %v", a)
	}

	kube = fake.NewClientset(account("api", map[string]string{migrate.RolledBackMark: mark}))
	kube.PrependReactor("patch", "serviceaccounts", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, invalid()
	})
	if run(false, "api"); !strings.Contains(got["api"], "changed at the same moment") {
		t.Errorf("got %q", got["api"])
	}
}

// invalid is the API server's answer to a JSON patch whose test failed.
func invalid() error {
	return &statusError{metav1.Status{Status: metav1.StatusFailure, Code: 422, Reason: metav1.StatusReasonInvalid, Message: "the server rejected our request due to an error in our request"}}
}

type statusError struct{ status metav1.Status }

func (e *statusError) Error() string         { return e.status.Message }
func (e *statusError) Status() metav1.Status { return e.status }
