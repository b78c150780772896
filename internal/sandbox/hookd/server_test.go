package hookd_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/hookd"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

const (
	account = "123456789012"
	cluster = "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab"
	role    = "arn:aws:iam::123456789012:role/eks-irsa-lab-demo-s3-reader-role"
	trust   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
)

// lab is a webhook before a fake cluster with demo/s3-reader, and a client that calls it
// as the API server does.
type lab struct {
	t     *testing.T
	clock *virtual.Clock
	aws   *awsd.Server
	eks   *eks.Client
	kube  *kubed.Cluster
	hook  *hookd.Server
	http  *http.Client
}

func newLab(t *testing.T, delay time.Duration) *lab {
	t.Helper()
	l := &lab{t: t, clock: virtual.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))}
	l.aws = awsd.New(awsd.Options{Clock: l.clock})
	l.must(l.aws.PutAccount(awsd.Account{ID: account}))
	l.must(l.aws.PutCluster(awsd.Cluster{ARN: cluster}))
	l.must(l.aws.PutRole(awsd.Role{ARN: role, Trust: trust}))
	url, err := l.aws.Start("127.0.0.1:0")
	l.must(err)
	id, secret := awsd.AccessKey(account)
	l.eks = eks.NewFromConfig(aws.Config{Region: "eu-west-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
	l.kube = kubed.New(kubed.Options{Clock: l.clock})
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "s3-reader"}}
	sa.CreationTimestamp = metav1.NewTime(l.clock.Now().Add(-time.Hour))
	l.must(l.kube.Seed(sa))
	l.hook, err = hookd.New(hookd.Options{Clock: l.clock, Region: "eu-west-1", Delay: delay, AWS: l.aws, Cluster: cluster})
	l.must(err)
	l.must(l.hook.Start("127.0.0.1:0"))
	l.must(l.hook.Follow(t.Context(), l.kube.Client("webhook")))
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(l.hook.CA()) {
		t.Fatal("the CA is no PEM")
	}
	l.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	t.Cleanup(func() { l.must(l.hook.Close()); l.must(l.aws.Close()) })
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// admit sends a pod of demo/s3-reader and returns what it would get, or the error.
func (l *lab) admit(ctx context.Context) (string, error) {
	l.t.Helper()
	raw, err := json.Marshal(&corev1.Pod{Spec: corev1.PodSpec{ServiceAccountName: "s3-reader", Containers: []corev1.Container{{Name: "main"}}}})
	l.must(err)
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1beta1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{UID: "u", Operation: admissionv1.Create, Namespace: "demo",
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, Object: kruntime.RawExtension{Raw: raw}},
	})
	l.must(err)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, *l.hook.Object().Webhooks[0].ClientConfig.URL, bytes.NewReader(body))
	l.must(err)
	req.Header.Set("Content-Type", "application/json")
	res, err := l.http.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	l.must(err)
	var out admissionv1.AdmissionReview
	l.must(json.Unmarshal(b, &out))
	switch patch := string(out.Response.Patch); {
	case strings.Contains(patch, "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
		return "pod-identity", nil
	case strings.Contains(patch, "AWS_ROLE_ARN"):
		return "irsa", nil
	}
	return "none", nil
}

// want waits until a pod gets that: the informer hears of a write in its own time, which
// is none of the clock's.
func (l *lab) want(want string) {
	l.t.Helper()
	got := ""
	for range 200 {
		var err error
		got, err = l.admit(l.t.Context())
		l.must(err)
		if got == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.t.Errorf("a pod gets %s, want %s", got, want)
}

func (l *lab) annotate(value string) {
	l.t.Helper()
	_, err := l.kube.Client("kubectl").CoreV1().ServiceAccounts("demo").Patch(l.t.Context(), "s3-reader", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"eks.amazonaws.com/role-arn":`+value+`}}}`), metav1.PatchOptions{})
	l.must(err)
}

func (l *lab) associate() (id string) {
	l.t.Helper()
	out, err := l.eks.CreatePodIdentityAssociation(l.t.Context(), &eks.CreatePodIdentityAssociationInput{
		ClusterName: aws.String("irsa-lab"), Namespace: aws.String("demo"), ServiceAccount: aws.String("s3-reader"), RoleArn: aws.String(role),
	})
	l.must(err)
	return *out.Association.AssociationId
}

func TestWebhookFollowsTheClusterAndEKS(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	l.want("none")
	l.annotate(`"` + role + `"`)
	l.want("irsa")
	id := l.associate()
	l.want("pod-identity")
	_, err := l.eks.DeletePodIdentityAssociation(t.Context(), &eks.DeletePodIdentityAssociationInput{ClusterName: aws.String("irsa-lab"), AssociationId: &id})
	l.must(err)
	l.want("irsa")
	l.annotate("null")
	l.want("none")
}

// Both sources are late by the delay; that of EKS to the moment, with nobody looking in between.
func TestWebhookIsLate(t *testing.T) {
	t.Parallel()
	l := newLab(t, 10*time.Second)
	l.annotate(`"` + role + `"`)
	l.want("none")
	l.clock.Advance(10 * time.Second)
	l.want("irsa")
	l.associate()
	l.clock.Advance(9 * time.Second)
	l.want("irsa")
	l.clock.Advance(time.Second)
	l.want("pod-identity")
	l.hook.SetDelay(time.Minute)
	l.want("none")
}

func TestWebhookModes(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	l.associate()
	l.hook.SetMode(hookd.Down)
	if got, err := l.admit(t.Context()); err == nil {
		t.Errorf("down: got %s, want no answer", got)
	}
	l.hook.SetMode(hookd.Hung)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := l.admit(short); err == nil {
		t.Errorf("hung: got %s, want no answer", got)
	}
	l.hook.SetMode(hookd.Serving)
	l.want("pod-identity")
}

// The object is EKS's but for the address and the CA.
func TestObject(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	got, want := l.hook.Object(), actors.NewWebhookObject()
	config := got.Webhooks[0].ClientConfig
	if config.URL == nil || !strings.HasPrefix(*config.URL, "https://127.0.0.1:") || !strings.HasSuffix(*config.URL, "/mutate") || len(config.CABundle) == 0 || config.Service != nil {
		t.Errorf("client configuration = %+v, want the server's address and CA", config)
	}
	want.Webhooks[0].ClientConfig = config
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("object (-EKS's +this):\n%s", diff)
	}
	w := got.Webhooks[0]
	if got.Name != "pod-identity-webhook" || w.Name != "iam-for-pods.amazonaws.com" || *w.FailurePolicy != registrationv1.Ignore ||
		*w.ReinvocationPolicy != registrationv1.IfNeededReinvocationPolicy || *w.SideEffects != registrationv1.SideEffectClassNone || *w.TimeoutSeconds != 10 {
		t.Errorf("object = %+v, want the names and policies of EKS", got)
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	s, err := hookd.New(hookd.Options{Clock: virtual.NewWallClock()})
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"0.0.0.0:0", "192.0.2.1:1", "localhost:0", "x"} {
		if err := s.Start(address); err == nil {
			t.Errorf("start on %s: got no error", address)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Start("127.0.0.1:0"); err == nil {
		t.Error("start after close: got no error")
	}
	if err := s.Follow(t.Context(), kubed.New(kubed.Options{Clock: virtual.NewWallClock()}).Client("x")); err == nil {
		t.Error("follow after close: got no error")
	}
}

// Not parallel: it looks at the goroutines of the whole process.
func TestCloseLeavesNothing(t *testing.T) {
	l := newLab(t, 0)
	l.want("none")
	l.hook.SetMode(hookd.Hung)
	go l.admit(t.Context()) //nolint:errcheck // it ends with Close, in an error
	time.Sleep(20 * time.Millisecond)
	l.must(l.hook.Close())
	var left string
	for range 100 {
		buf := make([]byte, 1<<20)
		left = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(left, "hookd.(*Server)") && !strings.Contains(left, "client-go/tools/cache") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("after Close something runs:\n%s", left)
}
