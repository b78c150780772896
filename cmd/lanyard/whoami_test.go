package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/santhosh-tekuri/jsonschema/v6"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox"
	"github.com/lanyard-io/lanyard/internal/sandbox/agentd"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

// podWorld is the sandbox with one pod of each mechanism, its AWS and its agents on
// loopback. Its clock starts at the wall's: the SDK throws away what has expired.
type podWorld struct {
	*sandbox.World
	t     *testing.T
	fleet *agentd.Fleet
	dir   string
}

const (
	whoIssuer   = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	whoProvider = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	whoAccount  = "123456789012"
)

func newPodWorld(t *testing.T) *podWorld {
	t.Helper()
	type m map[string]any
	type l []any
	now := time.Now().UTC()
	host := strings.TrimPrefix(whoIssuer, "https://")
	web := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"%s:aud":"sts.amazonaws.com","%s:sub":"system:serviceaccount:demo:irsa"}}}]}`, whoProvider, host, host)
	pods := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	root := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}`
	role := func(name, trust string) m {
		return m{"arn": "arn:aws:iam::123456789012:role/" + name, "presence": "present", "trustPolicy": trust}
	}
	workload := func(name string) m {
		return m{"namespace": "demo", "kind": "Deployment", "name": name, "serviceAccount": name, "replicas": 1, "podLabels": m{"app": name}}
	}
	data, err := json.Marshal(m{
		"takenAt":  now.Format(time.RFC3339),
		"cluster":  m{"name": "irsa-lab", "arn": "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab", "issuer": whoIssuer},
		"accounts": l{m{"id": whoAccount}},
		"serviceAccounts": l{
			m{"namespace": "demo", "name": "irsa", "annotations": m{"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/team/irsa-role"}},
			m{"namespace": "demo", "name": "pod"},
		},
		"associations": l{m{"namespace": "demo", "serviceAccount": "pod", "role": "arn:aws:iam::123456789012:role/pod-role"}},
		"workloads":    l{workload("irsa"), workload("pod"), m{"namespace": "kube-system", "kind": "DaemonSet", "name": "eks-pod-identity-agent"}},
		"pods": l{
			m{"namespace": "demo", "serviceAccount": "irsa", "containers": l{m{"credential": "irsa", "role": "arn:aws:iam::123456789012:role/team/irsa-role"}}},
			m{"namespace": "demo", "serviceAccount": "pod", "containers": l{m{"credential": "pod-identity", "role": "arn:aws:iam::123456789012:role/pod-role"}}},
		},
		"nodes":         l{m{"name": "node-1"}},
		"webhook":       m{"present": true},
		"roles":         l{role("team/irsa-role", web), role("pod-role", pods), role("node-role", root)},
		"oidcProviders": l{m{"arn": whoProvider, "clientIDs": l{"sts.amazonaws.com"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := sandbox.Load(data, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &podWorld{World: s, t: t, dir: t.TempDir()}
	id, secret := awsd.AccessKey(w.Account)
	w.fleet = agentd.New(agentd.Options{Clock: w.Clock, Cluster: w.Name, Region: w.Region, Endpoint: w.URL,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
	t.Cleanup(func() {
		if err := errors.Join(w.fleet.Close(), w.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := w.fleet.Follow(t.Context(), w.Client("agents")); err != nil {
		t.Fatal(err)
	}
	return w
}

// admitted is the environment of a container of a pod of demo, as the webhook made it,
// its token's file laid out for this test.
func (w *podWorld) admitted(serviceAccount string) (env []string, token string) {
	w.t.Helper()
	kube := w.Client("kubelet")
	list, err := kube.CoreV1().Pods("demo").List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(list.Items, func(p corev1.Pod) bool { return p.Spec.ServiceAccountName == serviceAccount })
	if i < 0 {
		w.t.Fatalf("no pod of %s", serviceAccount)
	}
	pod := list.Items[i]
	audience := ""
	for _, v := range pod.Spec.Volumes {
		if v.Name == "aws-iam-token" || v.Name == "eks-pod-identity-token" {
			audience = v.Projected.Sources[0].ServiceAccountToken.Audience
		}
	}
	got, err := kube.CoreV1().ServiceAccounts("demo").CreateToken(w.t.Context(), serviceAccount, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{audience}, BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	file := filepath.Join(w.dir, serviceAccount)
	if err := os.WriteFile(file, []byte(got.Status.Token), 0o600); err != nil {
		w.t.Fatal(err)
	}
	for _, e := range pod.Spec.Containers[0].Env {
		if strings.HasSuffix(e.Name, "_TOKEN_FILE") {
			e.Value = file
		}
		env = append(env, e.Name+"="+e.Value)
	}
	return env, got.Status.Token
}

// session is what an instance's metadata or a profile hands out: a session of node-role.
func (w *podWorld) session() aws.Credentials {
	w.t.Helper()
	id, secret := awsd.AccessKey(w.Account)
	c := sts.New(sts.Options{Region: w.Region, BaseEndpoint: &w.URL, Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
	got, err := c.AssumeRole(w.t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/node-role"), RoleSessionName: aws.String("i-0123456789abcdef0")})
	if err != nil {
		w.t.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: *got.Credentials.AccessKeyId, SecretAccessKey: *got.Credentials.SecretAccessKey,
		SessionToken: *got.Credentials.SessionToken, Expires: *got.Credentials.Expiration}
}

// link is a proxy that stands for the node's network: it leads to the agent's address
// and to nowhere else.
func (w *podWorld) link() string {
	w.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		address, ok := w.fleet.Address("node-1")
		if !ok {
			return nil, errors.New("no agent listens")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Hostname() != "169.254.170.23" {
			http.Error(out, "no way there", http.StatusForbidden)
			return
		}
		r.RequestURI = ""
		answer, err := transport.RoundTrip(r)
		if err != nil {
			panic(http.ErrAbortHandler) // as a connection that is refused
		}
		defer answer.Body.Close()
		out.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(out, answer.Body)
	}))
	w.t.Cleanup(s.Close)
	return s.URL
}

// metadata is an instance's metadata service.
func (w *podWorld) metadata(c aws.Credentials) string {
	w.t.Helper()
	const list = "/latest/meta-data/iam/security-credentials/"
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/latest/api/token":
			out.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
			fmt.Fprint(out, "metadata-token")
		case list:
			fmt.Fprint(out, "node-role")
		case list + "node-role":
			_ = json.NewEncoder(out).Encode(map[string]string{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": c.AccessKeyID,
				"SecretAccessKey": c.SecretAccessKey, "Token": c.SessionToken, "Expiration": c.Expires.UTC().Format(time.RFC3339), "LastUpdated": time.Now().UTC().Format(time.RFC3339)})
		default:
			http.NotFound(out, r)
		}
	}))
	w.t.Cleanup(s.Close)
	return s.URL
}

// whoamiAnswer is what docs/schemas/whoami.json describes.
type whoamiAnswer struct {
	Account, Role, Session, Mechanism, Wiring, Expires, Region, Endpoint string
	Found                                                                []struct {
		Mechanism string
		Variables []string
	}
	Problem *struct{ Error, Next, See string }
}

// whoami runs the command in an environment that has nothing else, as a container's has.
// The address of STS is that of STS alone: the chain of the SDK does not go by
// AWS_ENDPOINT_URL, which it reads after it has picked its credentials.
func (w *podWorld) whoami(env []string, args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "lanyard", append([]string{"whoami"}, args...)...)
	cmd.Env = append([]string{"HOME=" + w.dir, "PATH=" + os.Getenv("PATH"), "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL_STS=" + w.URL}, env...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	if e, is := errors.AsType[*exec.ExitError](err); is {
		code = e.ExitCode()
	} else if err != nil {
		w.t.Fatal(err)
	}
	return out.String(), talk.String(), code
}

// TestWhoami: the command, as a process, gets an identity by each mechanism over the
// real wire, says which, and prints no key and no token.
func TestWhoami(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/schemas/whoami.json")
	if err != nil {
		t.Fatal(err)
	}
	w := newPodWorld(t)
	irsa, irsaToken := w.admitted("irsa")
	pod, podToken := w.admitted("pod")
	link := "HTTP_PROXY=" + w.link()
	node := w.session()
	id, secret := awsd.AccessKey(whoAccount)
	keys := []string{"AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + secret}
	stranger := []string{"AWS_ACCESS_KEY_ID=ASIASTRANGERSTRANGER", "AWS_SECRET_ACCESS_KEY=verysecretsecret", "AWS_SESSION_TOKEN=strangerstoken"}
	hidden := []string{irsaToken, podToken, node.SecretAccessKey, node.SessionToken, node.AccessKeyID, id, "ASIASTRANGERSTRANGER", "verysecretsecret", "strangerstoken", "metadata-token"}
	write := func(name, text string) string {
		file := filepath.Join(w.dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	profile := []string{"AWS_PROFILE=work", "AWS_CONFIG_FILE=" + write("config", fmt.Sprintf(
		"[profile base]\naws_access_key_id=%s\naws_secret_access_key=%s\n[profile work]\nrole_arn=arn:aws:iam::123456789012:role/node-role\nsource_profile=base\nrole_session_name=me\n", id, secret))}
	talkative := []string{"AWS_PROFILE=loud", "AWS_CONFIG_FILE=" + write("loud", "[profile loud]\ncredential_process=echo verysecretsecret\n")}
	replace := func(env []string, name, value string) []string {
		return append(slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, name+"=") }), name+"="+value)
	}
	join := func(parts ...[]string) []string { return slices.Concat(parts...) }
	noMetadata := []string{"AWS_EC2_METADATA_DISABLED=true"}

	tests := []struct {
		name    string
		env     []string
		want    string // mechanism, wiring, role, whether it expires
		problem string // in the error
		next    string // in the next move
	}{
		{"web identity, as IRSA gives it", irsa, "web-identity irsa irsa-role true", "", ""},
		{"container, as Pod Identity gives it", append(pod, link), "container pod-identity pod-role true", "", ""},
		{"both: web identity comes first", join(irsa, pod), "web-identity irsa irsa-role true", "", ""},
		{"keys come before either", join(keys, irsa, pod), "static-keys   false", "", ""},
		{"a profile that assumes a role", profile, "profile  node-role true", "", ""},
		{"a profile comes before a container", join(profile, pod), "profile  node-role true", "", ""},
		{"instance metadata", []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + w.metadata(node)}, "instance-metadata  node-role true", "", ""},

		{"nothing", noMetadata, "instance-metadata   false", "no EC2 IMDS role found", "was not injected"},
		{"a role that does not trust", replace(irsa, "AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod-role"), "web-identity irsa  false", "AccessDenied", "does not let this ServiceAccount in"},
		{"a token of another audience", replace(irsa, "AWS_WEB_IDENTITY_TOKEN_FILE", filepath.Join(w.dir, "pod")), "web-identity irsa  false", "Incorrect token audience", "does not list the token's audience"},
		{"a token that is none", replace(irsa, "AWS_WEB_IDENTITY_TOKEN_FILE", write("garbage", "verysecretsecret")), "web-identity irsa  false", "InvalidIdentityToken", "lanyard explain"},
		{"no token's file", replace(irsa, "AWS_WEB_IDENTITY_TOKEN_FILE", filepath.Join(w.dir, "none")), "web-identity irsa  false", "no such file", "the token's file is not there"},
		{"half of the pair", []string{"AWS_WEB_IDENTITY_TOKEN_FILE=" + filepath.Join(w.dir, "irsa")}, "web-identity irsa  false", "role ARN is not set", "take it out of the pod template"},
		{"an agent out of reach", append(replace(pod, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"), "HTTP_PROXY=http://127.0.0.1:9"), "container pod-identity  false", "connection refused", "no agent answers on the node"},
		{"a ServiceAccount without an association", append(replace(pod, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", filepath.Join(w.dir, "irsa")), link), "container pod-identity  false", "", "log"},
		{"an address that is not the agent's", replace(pod, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/v1/credentials"), "container   false", "invalid endpoint host", "the container overrides it"},
		{"a key that AWS does not know", stranger, "static-keys   false", "InvalidClientTokenId", "AWS does not know the key"},
		{"a profile that is not there", []string{"AWS_PROFILE=none"}, "profile   false", "none", "name one that is there"},
		{"a process that says no JSON", talkative, "profile   false", "gave no credentials", "run the credential_process by hand"},
		{"STS out of reach", append(slices.Clone(keys), "AWS_ENDPOINT_URL_STS=http://me:verysecretsecret@127.0.0.1:9"), "static-keys   false", "connection refused", "STS does not answer"},
		{"no Region", append(slices.Clone(keys), "AWS_REGION="), "static-keys   false", "no AWS Region", "set AWS_REGION"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			left := filepath.Join(t.TempDir(), "termination-log")
			if err := os.WriteFile(left, []byte(strings.Repeat("old", 3000)), 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, stderr, code := w.whoami(tt.env, "-o", "json", "--to", left)
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(stdout))
			if err != nil {
				t.Fatalf("%v\n%s%s", err, stdout, stderr)
			}
			if err := schema.Validate(value); err != nil {
				t.Errorf("%v\n%s", err, stdout)
			}
			var got whoamiAnswer
			if err := json.Unmarshal([]byte(stdout), &got); err != nil {
				t.Fatal(err)
			}
			if is := strings.Join([]string{got.Mechanism, got.Wiring, got.Role, fmt.Sprint(got.Expires != "")}, " "); is != tt.want {
				t.Errorf("got %q, want %q\n%s", is, tt.want, stdout)
			}
			message, err := os.ReadFile(left)
			if compact := new(bytes.Buffer); err != nil || json.Compact(compact, []byte(stdout)) != nil || compact.String()+"\n" != string(message) {
				t.Errorf("%v: %s was left, want the answer on one line", err, message)
			}
			text, said, textCode := w.whoami(tt.env)
			for _, secret := range hidden {
				if all := stdout + stderr + text + said; strings.Contains(all, secret) {
					t.Errorf("%q is told:\n%s", secret, all)
				}
			}
			if tt.next == "" {
				if code != 0 || textCode != 0 || stderr != "" || got.Account != whoAccount || got.Problem != nil || got.Region != "eu-west-1" || got.Endpoint != w.URL {
					t.Errorf("codes %d and %d, want 0 and an identity\n%s%s", code, textCode, stdout, stderr)
				}
				// Each run is a session of its own name.
				if at := got.Session[:strings.LastIndexByte(got.Session, '/')+1]; at == "" || !strings.Contains(text, "\nsession    "+at) {
					t.Errorf("the text has no session %s:\n%s", got.Session, text)
				}
				return
			}
			if code != 1 || textCode != 1 || got.Problem == nil || got.Session != "" {
				t.Fatalf("codes %d and %d, want 1 and a problem\n%s%s", code, textCode, stdout, stderr)
			}
			if !strings.Contains(got.Problem.Error, tt.problem) || !strings.Contains(got.Problem.Next, tt.next) {
				t.Errorf("problem %+v, want %q and then %q", *got.Problem, tt.problem, tt.next)
			}
			if !strings.HasPrefix(stderr, "lanyard: no AWS identity: ") || !strings.Contains(stderr, tt.next) {
				t.Errorf("the talk is %q, want the next move in it", stderr)
			}
		})
	}
}

// TestWhoamiTimeout: an address that takes the question and says nothing does not hold
// the command for longer than it was told to wait.
func TestWhoamiTimeout(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	pod, _ := w.admitted("pod")
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	start := time.Now()
	left := filepath.Join(t.TempDir(), "message")
	_, stderr, code := w.whoami(append(pod, "HTTP_PROXY=http://"+mute.Addr().String()), "--timeout", "1s", "--to", left)
	var got whoamiAnswer
	if message, err := os.ReadFile(left); err != nil || json.Unmarshal(message, &got) != nil || got.Problem == nil || got.Mechanism != "container" {
		t.Errorf("%v: %s was left, want the problem", err, message)
	}
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
	if code != 1 || !strings.Contains(stderr, "no agent answers on the node") {
		t.Errorf("code %d, talk %q", code, stderr)
	}
}

// TestWhoamiInCloudTrail: what whoami asks for bears its name, so that nobody takes it for
// a use by the workload whose ServiceAccount it runs as.
func TestWhoamiInCloudTrail(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	irsa, _ := w.admitted("irsa")
	if _, stderr, code := w.whoami(irsa); code != 0 {
		t.Fatal(stderr)
	}
	w.Clock.Advance(time.Hour)
	id, secret := awsd.AccessKey(w.Account)
	events, err := cloudtrail.NewFromConfig(aws.Config{Region: w.Region, BaseEndpoint: &w.URL, Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")}).LookupEvents(t.Context(),
		&cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyEventName, AttributeValue: aws.String("AssumeRoleWithWebIdentity")}}})
	if err != nil || len(events.Events) != 1 {
		t.Fatalf("%+v, %v; want one event", events, err)
	}
	var record struct{ UserAgent string }
	if err := json.Unmarshal([]byte(*events.Events[0].CloudTrailEvent), &record); err != nil || !strings.Contains(record.UserAgent+" ", " app/"+identity.WhoamiAppID+" ") {
		t.Errorf("user agent %q, %v; want app/%s in it", record.UserAgent, err, identity.WhoamiAppID)
	}
}
