package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/hiddeco/sshsig"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/internal/sandbox"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
	"github.com/lanyard-io/lanyard/sync/live"
)

// installed is a world in which lanyard is installed as its documents say, with an API
// server and an AWS that a command reaches as it would reach real ones.
type installed struct {
	*sandbox.World
	dir   string
	wants rights.Wants
	skew  time.Duration // how far the servers' clocks are ahead
	hangs bool          // the API server does not answer
	stop  chan struct{}
	repo  *gitd.Repo
	key   ssh.Signer
}

const (
	doctorRole = "arn:aws:iam::123456789012:role/lanyard"
	letsIn     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"%s}]}`
	externalID = `,"Condition":{"StringEquals":{"sts:ExternalId":"irsa-lab-lanyard"}}`
)

// world is the script's command of that name: it makes the world anew, with what its
// argument names broken, and points kubeconfig and AWS at it.
func world(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: world [BREAKAGE]")
	}
	w := &installed{dir: ts.MkAbs("."), stop: make(chan struct{})}
	ts.Check(w.install())
	ts.Defer(func() { _ = w.Close() })
	if len(args) == 1 {
		do, known := breakages[args[0]]
		if !known {
			ts.Fatalf("no breakage %s", args[0])
		}
		ts.Check(do(w))
	}
	api := httptest.NewServer(w.dated(w.api(w.Client("lanyard"))))
	cloud := httptest.NewServer(w.dated(w.AWS.Handler()))
	ts.Defer(api.Close)
	ts.Defer(cloud.Close)
	ts.Defer(func() { close(w.stop) })
	kubeconfig := filepath.Join(w.dir, "kubeconfig")
	ts.Check(os.WriteFile(kubeconfig, fmt.Appendf(nil, "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n"+
		"clusters: [{name: x, cluster: {server: %q}}]\nusers: [{name: x, user: {token: kube-token-that-must-not-be-shown}}]\n", api.URL), 0o600))
	ts.Setenv("KUBECONFIG", kubeconfig)
	ts.Setenv("AWS_ENDPOINT_URL", cloud.URL)
	ts.Setenv("AWS_REGION", w.Region)
	c, err := w.session()
	ts.Check(err)
	ts.Setenv("AWS_ACCESS_KEY_ID", c.AccessKeyID)
	ts.Setenv("AWS_SECRET_ACCESS_KEY", c.SecretAccessKey)
	ts.Setenv("AWS_SESSION_TOKEN", c.SessionToken)
}

// install makes the world, and the files of the operator beside it.
func (w *installed) install() error {
	facts, err := live.DecodeFacts(examples.Live)
	if err != nil {
		return err
	}
	data, err := facts.EncodeJSON()
	if err != nil {
		return err
	}
	if w.World, err = sandbox.Load(data, sandbox.Options{Start: time.Now()}); err != nil {
		return err
	}
	place := rights.Place{Account: w.Account, Region: w.Region, Cluster: w.Name, ExternalID: "irsa-lab-lanyard",
		Roles: []string{"arn:aws:iam::123456789012:role/*", "arn:aws:iam::210987654321:role/*"}, AccountRoles: []string{"arn:aws:iam::210987654321:role/lanyard-reader"}}
	if w.wants, err = rights.For("migrate", []string{rights.Accounts}, place); err != nil {
		return err
	}
	config := strings.Replace(string(examples.Configuration), "mode: repair", "mode: migrate", 1) +
		fmt.Sprintf("source: {url: %q, ref: main, verify: {allowedSignersFile: %q}}\n", "file://"+filepath.Join(w.dir, "fleet.git"), filepath.Join(w.dir, "signers"))
	return errors.Join(
		w.Kube.SeedManifests(w.wants.RBAC()), w.Kube.SeedManifests(w.wants.Admission()), w.Kube.Seed(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lanyard"}}),
		w.role(w.wants.IAM(), rights.DoctorIAM(place)), w.AWS.PutRole(awsd.Role{ARN: place.AccountRoles[0], Trust: fmt.Sprintf(letsIn, externalID)}),
		os.WriteFile(filepath.Join(w.dir, "lanyard.yaml"), []byte(config), 0o600),
		os.WriteFile(filepath.Join(w.dir, "hook"), []byte("hook-secret-that-must-not-be-shown\n"), 0o600),
		w.repository())
}

func (w *installed) role(policies ...string) error {
	r := awsd.Role{ARN: doctorRole, Trust: fmt.Sprintf(letsIn, ""), Inline: map[string]string{}}
	for i, p := range policies {
		r.Inline[fmt.Sprint("policy", i)] = p
	}
	return w.AWS.PutRole(r)
}

func (w *installed) session() (aws.Credentials, error) {
	id, secret := awsd.AccessKey(w.Account)
	out, err := sts.New(sts.Options{Region: w.Region, BaseEndpoint: aws.String(w.URL), Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")}).
		AssumeRole(context.Background(), &sts.AssumeRoleInput{RoleArn: aws.String(doctorRole), RoleSessionName: aws.String("doctor")})
	if err != nil {
		return aws.Credentials{}, err
	}
	return aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}, nil
}

// repository makes the fleet's, with a head that is signed by the one key that counts.
func (w *installed) repository() error {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	if w.key, err = ssh.NewSignerFromKey(private); err != nil {
		return err
	}
	dir := filepath.Join(w.dir, "fleet.git")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if w.repo, err = gitd.Init(dir); err != nil {
		return err
	}
	if _, err = w.repo.Import("main", examples.Fleet(), gitd.By(time.Now().Add(-time.Hour))); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(w.dir, "signers"), append([]byte("ann@example.com "), ssh.MarshalAuthorizedKey(w.key.PublicKey())...), 0o600), w.sign())
}

// sign puts a commit with the head's tree on top of it, signed as git commit -S does.
// Source: https://git-scm.com/docs/gitformat-signature
func (w *installed) sign() error {
	now := time.Now().Unix()
	tree, err := w.git(nil, "rev-parse", "main^{tree}")
	if err != nil {
		return err
	}
	parent, err := w.git(nil, "rev-parse", "main")
	if err != nil {
		return err
	}
	head := fmt.Sprintf("tree %s\nparent %s\nauthor Ann <ann@example.com> %d +0000\ncommitter Ann <ann@example.com> %d +0000\n", tree, parent, now, now)
	const message = "\nVouch for it.\n"
	signature, err := sshsig.Sign(strings.NewReader(head+message), w.key, sshsig.HashSHA512, "git")
	if err != nil {
		return err
	}
	armored := strings.TrimSuffix(string(sshsig.Armor(signature)), "\n")
	commit, err := w.git([]byte(head+"gpgsig "+strings.ReplaceAll(armored, "\n", "\n ")+"\n"+message), "hash-object", "-t", "commit", "-w", "--stdin")
	if err != nil {
		return err
	}
	_, err = w.git(nil, "update-ref", "refs/heads/main", commit)
	return err
}

func (w *installed) git(stdin []byte, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"--git-dir", filepath.Join(w.dir, "fleet.git")}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// breakages are what can be taken away from the world.
var breakages = map[string]func(*installed) error{
	"rbac": func(w *installed) error {
		return w.Kube.SeedManifests(strings.ReplaceAll(w.wants.RBAC(), `"patch"`, `"none"`))
	},
	"iam": func(w *installed) error {
		return w.role(strings.ReplaceAll(w.wants.IAM(), "iam:UpdateAssumeRolePolicy", "iam:Nothing"))
	},
	"simulation": func(w *installed) error {
		w.AWS.AddFault(awsd.Fault{Service: "iam", Operation: "SimulatePrincipalPolicy", Kind: awsd.Refuse})
		return nil
	},
	"trust": func(w *installed) error {
		return w.AWS.PutRole(awsd.Role{ARN: "arn:aws:iam::210987654321:role/lanyard-reader", Trust: fmt.Sprintf(letsIn, strings.Replace(externalID, "irsa-lab-lanyard", "another", 1))})
	},
	"webhook": func(w *installed) error {
		return w.Client("system:admin").AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(context.Background(), "pod-identity-webhook", metav1.DeleteOptions{})
	},
	"binding": func(w *installed) error {
		return w.Client("system:admin").AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(context.Background(), rights.AdmissionPolicy, metav1.DeleteOptions{})
	},
	"issuer": func(w *installed) error {
		w.Kube.SetIssuer("https://oidc.example")
		return nil
	},
	"skew": func(w *installed) error {
		w.skew = -10 * time.Minute
		return nil
	},
	"head": func(w *installed) error {
		_, err := w.repo.Commit(gitd.Change{Branch: "main", Write: map[string]string{"README.md": "a change\n"}, By: gitd.By(time.Now())})
		return err
	},
	"silence": func(w *installed) error {
		w.hangs = true
		return nil
	},
}

// dated sets a server's clock.
func (w *installed) dated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Date", time.Now().Add(w.skew).UTC().Format(http.TimeFormat))
		next.ServeHTTP(rw, r)
	})
}

// api is an API server for what a doctor asks. Everybody is who the client is.
func (w *installed) api(kube kubernetes.Interface) http.Handler {
	codec := scheme.Codecs.LegacyCodec(scheme.Scheme.PrioritizedVersionsAllGroups()...)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.hangs {
			select {
			case <-r.Context().Done():
			case <-w.stop:
			}
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/version":
			v, _ := kube.Discovery().ServerVersionWithContext(r.Context())
			_ = json.NewEncoder(rw).Encode(v)
			return
		case "/.well-known/openid-configuration":
			_ = json.NewEncoder(rw).Encode(map[string]string{"issuer": w.Kube.Issuer()})
			return
		case "/api", "/apis":
			fmt.Fprintf(rw, `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}]}]}`)
			return
		}
		answer, err := ask(r, kube)
		if err != nil {
			status := &apierrors.StatusError{}
			if !errors.As(err, &status) {
				status = apierrors.NewInternalError(err)
			}
			rw.WriteHeader(int(status.ErrStatus.Code))
			answer = &status.ErrStatus
		}
		data, err := runtime.Encode(codec, answer)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = rw.Write(data)
	})
}

// ask puts a request to the cluster in memory.
func ask(r *http.Request, kube kubernetes.Interface) (runtime.Object, error) {
	ctx, list := r.Context(), metav1.ListOptions{FieldSelector: r.URL.Query().Get("fieldSelector")}
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		asked, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil {
			return nil, err
		}
		switch asked := asked.(type) {
		case *authenticationv1.SelfSubjectReview:
			return kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, asked, metav1.CreateOptions{})
		case *authorizationv1.SelfSubjectAccessReview:
			return kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, asked, metav1.CreateOptions{})
		case *authorizationv1.SubjectAccessReview:
			return kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, asked, metav1.CreateOptions{})
		}
	}
	admission := kube.AdmissionregistrationV1()
	switch r.Method + " " + r.URL.Path {
	case "GET /api/v1/namespaces":
		return kube.CoreV1().Namespaces().List(ctx, list)
	case "GET /api/v1/nodes":
		return kube.CoreV1().Nodes().List(ctx, list)
	case "GET /api/v1/namespaces/kube-system/pods":
		return kube.CoreV1().Pods("kube-system").List(ctx, list)
	case "GET /apis/apps/v1/namespaces/kube-system/daemonsets":
		return kube.AppsV1().DaemonSets("kube-system").List(ctx, list)
	case "GET /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations":
		return admission.MutatingWebhookConfigurations().List(ctx, list)
	case "GET /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/" + rights.AdmissionPolicy:
		return admission.ValidatingAdmissionPolicies().Get(ctx, rights.AdmissionPolicy, metav1.GetOptions{})
	case "GET /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/" + rights.AdmissionPolicy:
		return admission.ValidatingAdmissionPolicyBindings().Get(ctx, rights.AdmissionPolicy, metav1.GetOptions{})
	}
	return nil, fmt.Errorf("nobody should ask for %s %s", r.Method, r.URL.Path)
}
