package kubed

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clienttesting "k8s.io/client-go/testing"
)

// The fake answers a TokenRequest with an empty one. Here it is signed, and the key
// published, so that who verifies tokens needs to know nothing of the fake.

const (
	keyID         = "sandbox-1"
	minExpiration = 10 * time.Minute
	oneHour       = int64(3600)
)

// podClaims are the private claims of a ServiceAccount's token.
//
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
type podClaims struct {
	Audience   []string `json:"aud"` // an array even of one, as Kubernetes writes it
	Kubernetes struct {
		Namespace      string   `json:"namespace"`
		Pod            *claimed `json:"pod,omitempty"`
		ServiceAccount claimed  `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// claimed is an object as a claim names it.
type claimed struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// Keys returns the key set that a real API server shows at /openid/v1/jwks.
func (c *Cluster) Keys(context.Context) (jwks []byte, err error) {
	key, err := c.signingKey()
	if err != nil {
		return nil, err
	}
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: key.Public(), KeyID: keyID, Algorithm: string(jose.ES256), Use: "sig"},
	}})
}

// signingKey makes the cluster's key when it is first needed. Keys and tokens are
// not of the seed, so that asking for one changes nothing else in a run.
func (c *Cluster) signingKey() (*ecdsa.PrivateKey, error) {
	c.keyOnce.Do(func() { c.key, c.keyErr = ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	return c.key, c.keyErr
}

// requestToken answers serviceaccounts/token as the API server does.
func (c *Cluster) requestToken(a clienttesting.Action) (bool, runtime.Object, error) {
	create, _ := a.(clienttesting.CreateActionImpl)
	req, ok := create.Object.(*authenticationv1.TokenRequest)
	if !ok {
		return true, nil, apierrors.NewBadRequest(fmt.Sprintf("not a TokenRequest: %T", create.Object))
	}
	k := key{serviceAccounts, a.GetNamespace(), create.Name}
	sa, ok := c.get(k).(*corev1.ServiceAccount)
	if !ok {
		return true, nil, notFound(k)
	}
	out := req.DeepCopy()
	if out.Spec.ExpirationSeconds == nil {
		out.Spec.ExpirationSeconds = new(oneHour)
	}
	if len(out.Spec.Audiences) == 0 {
		out.Spec.Audiences = []string{c.issuer}
	}
	life := time.Duration(*out.Spec.ExpirationSeconds) * time.Second
	if life < minExpiration {
		return true, nil, apierrors.NewInvalid(authenticationv1.SchemeGroupVersion.WithKind("TokenRequest").GroupKind(), "",
			field.ErrorList{field.Invalid(field.NewPath("spec", "expirationSeconds"), *out.Spec.ExpirationSeconds, "may not specify a duration less than 10 minutes")})
	}
	pod, err := c.boundPod(out.Spec.BoundObjectRef, sa)
	if err != nil {
		return true, nil, err
	}
	out.Name, out.Namespace = sa.Name, sa.Namespace
	out.Status.ExpirationTimestamp = metav1.NewTime(c.clock.Now().Add(life))
	if out.Status.Token, err = c.sign(sa, pod, out.Spec.Audiences, life); err != nil {
		return true, nil, apierrors.NewInternalError(err)
	}
	return true, out, nil
}

// boundPod returns the pod that a token is asked for; nil if for none.
func (c *Cluster) boundPod(ref *authenticationv1.BoundObjectReference, sa *corev1.ServiceAccount) (*corev1.Pod, error) {
	if ref == nil {
		return nil, nil
	}
	if ref.Kind != "Pod" || ref.APIVersion != "v1" {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s %s: the sandbox binds to pods", ref.APIVersion, ref.Kind))
	}
	k := key{pods, sa.Namespace, ref.Name}
	pod, ok := c.get(k).(*corev1.Pod)
	switch {
	case !ok:
		return nil, notFound(k)
	case ref.UID != "" && ref.UID != pod.UID:
		return nil, apierrors.NewConflict(pods.GroupResource(), ref.Name, fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record", ref.UID))
	case pod.Spec.ServiceAccountName != sa.Name:
		return nil, apierrors.NewBadRequest("cannot bind token for serviceaccount " + sa.Name + " to pod running with different serviceaccount name.")
	}
	return pod, nil
}

func (c *Cluster) sign(sa *corev1.ServiceAccount, pod *corev1.Pod, audiences []string, life time.Duration) (string, error) {
	if c.issuer == "" {
		return "", errors.New("the cluster has no issuer: set one in Options")
	}
	priv, err := c.signingKey()
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: priv, KeyID: keyID}}, nil)
	if err != nil {
		return "", err
	}
	now := c.clock.Now()
	claims := jwt.Claims{
		Issuer: c.issuer, Subject: "system:serviceaccount:" + sa.Namespace + ":" + sa.Name, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life)),
	}
	private := podClaims{Audience: audiences}
	private.Kubernetes.Namespace, private.Kubernetes.ServiceAccount = sa.Namespace, claimed{sa.Name, string(sa.UID)}
	if pod != nil {
		private.Kubernetes.Pod = &claimed{pod.Name, string(pod.UID)}
	}
	return jwt.Signed(signer).Claims(claims).Claims(private).Serialize()
}
