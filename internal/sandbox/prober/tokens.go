package prober

import (
	"context"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

// tokens are those that kubelets would have projected, by pod.
type tokens struct {
	client kubernetes.Interface
	clock  *virtual.Clock
	cold   bool // Every request gets a new one.

	mu   sync.Mutex
	kept map[types.UID]map[tokenSpec]token
}

type token struct {
	text            string
	issued, expires time.Time
}

// due says when the kubelet renews a token: after 80 % of its life, or a day. It adds a
// jitter, which here would only make runs differ.
// Source: kubernetes, pkg/kubelet/token/token_manager.go.
func (t token) due(now time.Time) bool {
	life := t.expires.Sub(t.issued)
	return now.After(t.expires.Add(-life/5)) || now.After(t.issued.Add(24*time.Hour))
}

// of returns the pod's token as its container would read it now. Where the renewal fails,
// the old one is there until it has expired.
func (t *tokens) of(ctx context.Context, pod *corev1.Pod, spec tokenSpec) (string, error) {
	now := t.clock.Now()
	t.mu.Lock()
	kept, ok := t.kept[pod.UID][spec]
	t.mu.Unlock()
	if ok && !t.cold && !kept.due(now) {
		return kept.text, nil
	}
	fresh, err := t.request(ctx, pod, spec)
	if err != nil {
		if ok && !t.cold && now.Before(kept.expires) {
			return kept.text, nil
		}
		return "", &tokenError{err}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept[pod.UID] == nil {
		t.kept[pod.UID] = map[tokenSpec]token{}
	}
	t.kept[pod.UID][spec] = fresh
	return fresh.text, nil
}

func (t *tokens) request(ctx context.Context, pod *corev1.Pod, spec tokenSpec) (token, error) {
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{spec.audience}, ExpirationSeconds: &spec.seconds,
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}
	if spec.audience == "" {
		req.Spec.Audiences = nil // The API server's own.
	}
	issued := t.clock.Now()
	got, err := t.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, req, metav1.CreateOptions{})
	if err != nil {
		return token{}, err
	}
	return token{text: got.Status.Token, issued: issued, expires: got.Status.ExpirationTimestamp.Time}, nil
}

// forget drops the tokens of pods that are no more.
func (t *tokens) forget(alive map[types.UID]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for uid := range t.kept {
		if !alive[uid] {
			delete(t.kept, uid)
		}
	}
}

// tokenError is a token that could not be had: the API server's doing.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return "request token: " + e.err.Error() }
func (e *tokenError) Unwrap() error { return e.err }
