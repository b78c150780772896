package app_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/sync/doctor"
)

// patient is the sandbox with lanyard installed in it as `lanyard policy` says.
type patient struct {
	*stage
	t     *testing.T
	o     app.DoctorOptions
	wants rights.Wants
}

const ownRole = "arn:aws:iam::123456789012:role/tools/lanyard"

func newPatient(t *testing.T, mode desired.Mode) *patient {
	t.Helper()
	p := &patient{stage: newStage(t), t: t}
	config := *p.opts.Config
	config.Mode = mode
	p.opts.Config, p.opts.Now = &config, time.Now
	place := rights.Place{Partition: "aws", Account: p.Account, Region: p.Region, Cluster: p.Name,
		Roles: config.Allow[0].Roles, AccountRoles: []string{config.Accounts[0].Role.String()}, ExternalID: config.Accounts[0].ExternalID}
	var err error
	if p.wants, err = rights.For(string(mode), []string{rights.Accounts}, place); err != nil {
		t.Fatal(err)
	}
	p.must(p.Kube.SeedManifests(p.wants.RBAC()), p.Kube.SeedManifests(p.wants.Admission()),
		p.Kube.Seed(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lanyard"}}))
	p.policies(p.wants.IAM(), rights.DoctorIAM(place))
	p.opts.AWS.Credentials = p.session()
	p.o = app.DoctorOptions{Options: p.opts, ConfigFile: "lanyard.yaml", Mode: string(mode), Timeout: 20 * time.Second}
	return p
}

func (p *patient) must(errs ...error) {
	p.t.Helper()
	if err := errors.Join(errs...); err != nil {
		p.t.Fatal(err)
	}
}

// policies gives lanyard's role its inline policies.
func (p *patient) policies(documents ...string) {
	p.t.Helper()
	inline := map[string]string{}
	for i, d := range documents {
		inline[string(rune('a'+i))] = d
	}
	p.must(p.AWS.PutRole(awsd.Role{ARN: ownRole, Inline: inline,
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}`}))
}

// session are credentials of lanyard's role.
func (p *patient) session() aws.CredentialsProvider {
	p.t.Helper()
	out, err := sts.NewFromConfig(*p.opts.AWS).AssumeRole(p.t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(ownRole), RoleSessionName: aws.String("pod")})
	p.must(err)
	return credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
}

// refuse makes AWS refuse calls, as if the policy did not have them.
func (p *patient) refuse(service string, operations ...string) {
	for _, o := range operations {
		p.AWS.AddFault(awsd.Fault{Service: service, Operation: o, Kind: awsd.Refuse})
	}
}

func (p *patient) examine() doctor.Report {
	p.t.Helper()
	r, err := app.Doctor(p.t.Context(), p.o)
	p.must(err)
	return r
}

func of(r doctor.Report, id doctor.ID) doctor.Check {
	for _, c := range r.Checks {
		if c.ID == id {
			return c
		}
	}
	return doctor.Check{}
}

// TestDoctorHealthy: where lanyard is installed as its documents say, every check is good
// in every mode, and nothing is written.
func TestDoctorHealthy(t *testing.T) {
	t.Parallel()
	for _, mode := range rights.Modes() {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, desired.Mode(mode))
			p.Kube.ForgetCalls()
			r := p.examine()
			var ids []doctor.ID
			for _, c := range r.Checks {
				ids = append(ids, c.ID)
				if c.Result != doctor.OK && c.Result != doctor.Skipped {
					t.Errorf("%s is %s: %q; fix: %s", c.ID, c.Result, c.Evidence, c.Fix)
				}
			}
			if !slices.Equal(ids, doctor.Checks()) {
				t.Errorf("checks %v, want %v", ids, doctor.Checks())
			}
			if r.Fails() || r.Summary.OK < 14 {
				t.Errorf("summary %+v", r.Summary)
			}
			for _, w := range p.writes() {
				if !slices.Contains([]string{"create selfsubjectreviews", "create selfsubjectaccessreviews"}, w) {
					t.Errorf("it wrote: %s", w)
				}
			}
		})
	}
}

// TestDoctorBreakages: each thing that is taken away is found by its own check, with what
// mends it.
func TestDoctorBreakages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		mode   desired.Mode
		break_ func(*patient)
		id     doctor.ID
		want   doctor.Result
		seen   string // in the evidence
		fix    string
	}{
		{"no configuration", "observe", func(p *patient) { p.o.ConfigFile = "" }, doctor.IDConfiguration, doctor.Skipped, "mode observe", ""},
		{"a broken one", "observe", func(p *patient) { p.o.ConfigProblems = []string{"lanyard.yaml:3:1: unknown key"} }, doctor.IDConfiguration, doctor.Failed, "lanyard.yaml:3:1", "lanyard schema configuration"},
		{"a broken one, which names the cluster", "observe", func(p *patient) {
			p.o.ConfigProblems, p.o.Config, p.o.Cluster = []string{"lanyard.yaml:3:1: unknown key"}, nil, ""
		}, doctor.IDCluster, doctor.Unknown, "see configuration", "mend configuration"},
		{"a broken one, and the rights", "observe", func(p *patient) {
			p.o.ConfigProblems, p.o.Config, p.o.Cluster = []string{"lanyard.yaml:3:1: unknown key"}, nil, ""
		}, doctor.IDAWSPermissions, doctor.Unknown, "see configuration", "mend configuration"},
		{"a secret's file is missing", "observe", func(p *patient) { p.o.Secrets = []string{filepath.Join(p.t.TempDir(), "hook")} }, doctor.IDFiles, doctor.Failed, "no such file", "Secret"},
		{"a secret's file is empty", "observe", func(p *patient) { p.o.Secrets = []string{p.file("hook", "\n")} }, doctor.IDFiles, doctor.Failed, "is empty", "Secret"},
		{"a file is there", "observe", func(p *patient) { p.o.Secrets = []string{p.file("hook", "hush-hush\n")} }, doctor.IDFiles, doctor.OK, "hook", ""},
		{"no API server", "observe", func(p *patient) { p.o.Kube, p.o.Kubeconfig = nil, filepath.Join(p.t.TempDir(), "none") }, doctor.IDAPIServer, doctor.Failed, "kubeconfig", "--kubeconfig"},
		{"no API server, and what needs it", "observe", func(p *patient) { p.o.Kube, p.o.Kubeconfig = nil, filepath.Join(p.t.TempDir(), "none") }, doctor.IDWebhook, doctor.Unknown, "see api-server", "mend api-server"},
		{"another issuer", "observe", func(p *patient) {
			p.o.Issuer = func(context.Context) (string, error) { return "https://oidc.example", nil }
		}, doctor.IDIssuer, doctor.Failed, "https://oidc.example", "update-kubeconfig"},
		{"the issuer is not told", "observe", func(p *patient) {
			p.o.Issuer = func(context.Context) (string, error) { return "", errors.New("read the issuer: forbidden") }
		}, doctor.IDIssuer, doctor.Unknown, "forbidden", ""},
		{"a rule is missing", "repair", func(p *patient) { p.must(p.withoutRBAC("patch")) }, doctor.IDKubernetesPermissions, doctor.Failed, `patch serviceaccounts. The rule: {apiGroups: [""], resources: ["serviceaccounts"], verbs: ["get", "patch"]}`, "lanyard policy --mode repair --feature accounts"},
		{"the Lease's rule is missing", "observe", func(p *patient) { p.must(p.withoutRBAC("update")) }, doctor.IDKubernetesPermissions, doctor.Failed, "update coordination.k8s.io/leases lanyard", "-o rbac | kubectl apply"},
		{"the rights of the mode before", "migrate", func(p *patient) {
			w, err := rights.For("repair", nil, rights.Place{})
			p.must(err, p.Kube.SeedManifests(w.RBAC()))
		}, doctor.IDKubernetesPermissions, doctor.Failed, "create pods/eviction", "--mode migrate"},
		{"nobody says who may do what", "observe", func(p *patient) {
			p.Kube.Inject(kubed.Fault{Resource: "selfsubjectaccessreviews", Failure: kubed.Broken})
		}, doctor.IDKubernetesPermissions, doctor.Unknown, "", ""},
		{"about another, who may not be asked about", "observe", func(p *patient) {
			p.o.As = "system:serviceaccount:lanyard:lanyard"
			p.Kube.Inject(kubed.Fault{Resource: "subjectaccessreviews"})
		}, doctor.IDKubernetesPermissions, doctor.Unknown, "", "subjectaccessreviews"},
		{"about another, who has none", "observe", func(p *patient) { p.o.As = "system:serviceaccount:lanyard:other" }, doctor.IDKubernetesPermissions, doctor.Failed, "system:serviceaccount:lanyard:other may not", "--service-account other"},
		{"about another, who has all", "observe", func(p *patient) {
			p.o.As, p.o.Kube = "system:serviceaccount:lanyard:lanyard", p.Client("system:admin")
		}, doctor.IDKubernetesPermissions, doctor.OK, "system:serviceaccount:lanyard:lanyard has all", ""},
		{"a person", "observe", func(p *patient) { p.o.Kube = p.Client("person:ann") }, doctor.IDKubernetesPermissions, doctor.Failed, "person:ann may not", "--as system:serviceaccount"},
		{"a person's other rights", "observe", func(p *patient) { p.o.Kube = p.Client("person:ann") }, doctor.IDKubernetesExcess, doctor.Skipped, "--as", ""},
		{"an administrator", "observe", func(p *patient) { p.must(p.Kube.SeedManifests(administrator)) }, doctor.IDKubernetesExcess, doctor.Warning, "cluster administrator", "kubectl get clusterrolebindings"},
		{"pods in mode repair", "repair", func(p *patient) {
			w, err := rights.For("migrate", nil, rights.Place{})
			p.must(err, p.Kube.SeedManifests(w.RBAC()))
		}, doctor.IDKubernetesExcess, doctor.Warning, "create pods", ""},
		{"no namespace", "observe", func(p *patient) { p.o.Lease.Namespace = "elsewhere"; p.o.Kube = p.Client("person:ann") }, doctor.IDNamespace, doctor.Failed, "elsewhere", "kubectl create namespace elsewhere"},
		{"namespaces are not shown", "observe", func(p *patient) { p.Kube.Inject(kubed.Fault{Resource: "namespaces"}) }, doctor.IDNamespace, doctor.Unknown, "", "kubernetes-permissions"},
		{"no webhook", "observe", func(p *patient) {
			p.must(p.Client("system:admin").AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(p.t.Context(), "pod-identity-webhook", metav1.DeleteOptions{}))
		}, doctor.IDWebhook, doctor.Failed, "pod-identity-webhook", "AWS Support"},
		{"a webhook that asks nobody", "observe", func(p *patient) { p.must(p.emptyWebhook()) }, doctor.IDWebhook, doctor.Failed, "pod-identity-webhook", "AWS Support"},
		{"the webhook is not shown", "observe", func(p *patient) {
			p.Kube.Inject(kubed.Fault{Resource: "mutatingwebhookconfigurations"})
		}, doctor.IDWebhook, doctor.Unknown, "", "kubernetes-permissions"},
		{"no agent", "observe", func(p *patient) { p.must(p.withoutAgent()) }, doctor.IDAgent, doctor.Warning, "no DaemonSet eks-pod-identity-agent", "aws eks create-addon"},
		{"a node without", "observe", func(p *patient) { p.must(p.newNode(time.Now().Add(-time.Hour))) }, doctor.IDAgent, doctor.Failed, "node bare has no ready agent", "kubectl --namespace kube-system get pods"},
		{"a node that is new", "observe", func(p *patient) { p.must(p.newNode(time.Now())) }, doctor.IDAgent, doctor.OK, "can have the agent", ""},
		{"nodes are not shown", "observe", func(p *patient) { p.Kube.Inject(kubed.Fault{Resource: "nodes"}) }, doctor.IDAgent, doctor.Unknown, "", "kubernetes-permissions"},
		{"no policy", "migrate", func(p *patient) {
			p.must(p.Client("system:admin").AdmissionregistrationV1().ValidatingAdmissionPolicies().Delete(p.t.Context(), rights.AdmissionPolicy, metav1.DeleteOptions{}))
		}, doctor.IDAdmissionPolicy, doctor.Failed, "is not there", "-o admission | kubectl apply"},
		{"no binding", "migrate", func(p *patient) {
			p.must(p.Client("system:admin").AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(p.t.Context(), rights.AdmissionPolicy, metav1.DeleteOptions{}))
		}, doctor.IDAdmissionPolicy, doctor.Failed, "ValidatingAdmissionPolicyBinding lanyard-creates-no-pods is not there", "-o admission"},
		{"no policy about Jobs", "migrate", func(p *patient) { p.o.Config.Features.IdentityProbe = true }, doctor.IDAdmissionPolicy, doctor.Failed, "ValidatingAdmissionPolicy " + rights.JobPolicy + " is not there", "--feature identityProbe"},
		{"a policy that only warns", "migrate", func(p *patient) { p.must(p.weakBinding()) }, doctor.IDAdmissionPolicy, doctor.Failed, "validationActions", "-o admission"},
		{"the policy is not shown", "migrate", func(p *patient) {
			p.Kube.Inject(kubed.Fault{Resource: "validatingadmissionpolicies"})
		}, doctor.IDAdmissionPolicy, doctor.Unknown, "cannot be read", "kubernetes-permissions"},

		{"no credentials", "observe", func(p *patient) {
			p.o.AWS.Credentials = credentials.NewStaticCredentialsProvider("AKIANOBODY", "x", "")
		}, doctor.IDAWSIdentity, doctor.Failed, "InvalidClientTokenId", "lanyard whoami"},
		{"no credentials, and what needs them", "observe", func(p *patient) {
			p.o.AWS.Credentials = credentials.NewStaticCredentialsProvider("AKIANOBODY", "x", "")
		}, doctor.IDAWSPermissions, doctor.Unknown, "see aws-identity", "mend aws-identity"},
		{"no Region", "observe", func(p *patient) { p.o.AWS.Region = "" }, doctor.IDAWSIdentity, doctor.Failed, "no AWS Region", ""},
		{"a clock of ten minutes ago", "observe", func(p *patient) { p.o.Now = func() time.Time { return time.Now().Add(-10 * time.Minute) } }, doctor.IDAWSClock, doctor.Failed, "s ahead", "NTP"},
		{"a clock of the next minute", "observe", func(p *patient) { p.o.Now = func() time.Time { return time.Now().Add(time.Minute) } }, doctor.IDAWSClock, doctor.Warning, "s behind", "NTP"},
		{"roles of an account that is nowhere", "observe", func(p *patient) {
			p.o.Config.Allow = []desired.Allow{{Namespaces: []string{"*"}, Roles: []string{"arn:aws:iam::999999999999:role/*"}}}
		}, doctor.IDAWSAccount, doctor.Failed, "account 999999999999", "accounts"},
		{"another cluster", "observe", func(p *patient) { p.o.Cluster = "elsewhere" }, doctor.IDCluster, doctor.Failed, "EKS has no cluster elsewhere in eu-west-1 of account 123456789012", "AWS_REGION"},
		{"a cluster that fails", "observe", func(p *patient) {
			p.must(p.AWS.PutCluster(awsd.Cluster{ARN: p.ARN, Issuer: p.World.Issuer, Version: "1.37", Status: "FAILED"}))
		}, doctor.IDCluster, doctor.Failed, "is FAILED", "describe-cluster"},
		{"the cluster is not shown", "observe", func(p *patient) { p.refuse("eks", "DescribeCluster") }, doctor.IDCluster, doctor.Unknown, "not authorized", "aws-permissions"},
		{"no provider", "observe", func(p *patient) {
			p.AWS.AddFault(awsd.Fault{Service: "iam", Operation: "GetOpenIDConnectProvider", Kind: awsd.Answer, Code: "NoSuchEntity", Status: 404})
		}, doctor.IDOIDCProvider, doctor.Failed, "IAM has no OIDC provider", "associate-iam-oidc-provider"},
		{"a provider for another audience", "observe", func(p *patient) {
			p.must(p.AWS.PutProvider(awsd.Provider{ARN: identity.Issuer(p.World.Issuer).ProviderARN("aws", p.Account), ClientIDs: []string{"other"}}))
		}, doctor.IDOIDCProvider, doctor.Failed, "takes these audiences: other", "add-client-id-to-open-id-connect-provider"},
		{"the provider is not shown", "observe", func(p *patient) { p.refuse("iam", "GetOpenIDConnectProvider") }, doctor.IDOIDCProvider, doctor.Unknown, "not authorized", ""},
		{"an action is missing", "repair", func(p *patient) {
			p.policies(strings.Replace(p.wants.IAM(), "iam:UpdateAssumeRolePolicy", "iam:Nothing", 1))
		}, doctor.IDAWSPermissions, doctor.Failed, "missing: iam:UpdateAssumeRolePolicy on arn:aws:iam::123456789012:role/*: no policy allows it", "lanyard policy --mode repair"},
		{"an action is missing on some", "repair", func(p *patient) {
			p.policies(strings.ReplaceAll(p.wants.IAM(), `"arn:aws:iam::123456789012:role/*"`, `"arn:aws:iam::123456789012:role/eks-*"`))
		}, doctor.IDAWSPermissions, doctor.Failed, "iam:PassRole on arn:aws:iam::123456789012:role/*", ""},
		{"a condition that does not hold", "repair", func(p *patient) {
			p.policies(strings.ReplaceAll(p.wants.IAM(), "pods.eks.amazonaws.com", "ec2.amazonaws.com"))
		}, doctor.IDAWSPermissions, doctor.Failed, "missing: iam:PassRole", ""},
		{"a way in with another external ID", "observe", func(p *patient) {
			p.policies(strings.ReplaceAll(p.wants.IAM(), "irsa-lab-lanyard", "another"))
		}, doctor.IDAWSPermissions, doctor.Failed, "missing: sts:AssumeRole", ""},
		{"denied by name", "observe", func(p *patient) {
			p.policies(p.wants.IAM(), `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iam:ListRoles","Resource":"*"}]}`)
		}, doctor.IDAWSPermissions, doctor.Failed, "missing: iam:ListRoles: denied by name", ""},
		{"not simulated: reads say it", "observe", func(p *patient) {
			p.o.Config.Accounts, p.o.Config.Features.CloudTrail = nil, true // of which each action is a read
			p.refuse("iam", "SimulatePrincipalPolicy")
		}, doctor.IDAWSPermissions, doctor.OK, "by harmless reads", ""},
		{"not simulated: a read is refused", "observe", func(p *patient) {
			p.refuse("iam", "SimulatePrincipalPolicy")
			p.refuse("eks", "ListAddons")
		}, doctor.IDAWSPermissions, doctor.Failed, "missing: eks:ListAddons", ""},
		{"not simulated: writes are not known", "repair", func(p *patient) { p.refuse("iam", "SimulatePrincipalPolicy") }, doctor.IDAWSPermissions, doctor.Unknown, "not known: eks:CreatePodIdentityAssociation", "iam:SimulatePrincipalPolicy"},
		{"about another role", "repair", func(p *patient) {
			p.policies(p.wants.IAM())
			id, secret := awsd.AccessKey(p.Account)
			p.o.AWS.Credentials = credentials.NewStaticCredentialsProvider(id, secret, "")
			p.o.AsRole = identity.RoleARN{Partition: "aws", Account: p.Account, Path: "/tools/", Name: "lanyard"}
		}, doctor.IDAWSPermissions, doctor.OK, ownRole, ""},
		{"about another role, not simulated", "observe", func(p *patient) {
			p.o.AsRole = identity.RoleARN{Partition: "aws", Account: p.Account, Path: "/tools/", Name: "lanyard"}
			p.refuse("iam", "SimulatePrincipalPolicy")
		}, doctor.IDAWSPermissions, doctor.Unknown, "not known: eks:DescribeAddon", ""},
		{"another account shuts lanyard out", "observe", func(p *patient) {
			p.must(p.AWS.PutRole(awsd.Role{ARN: p.o.Config.Accounts[0].Role.String(), Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::210987654321:root"},"Action":"sts:AssumeRole"}]}`}))
		}, doctor.IDOtherAccounts, doctor.Failed, "account 210987654321", "trust-other-account"},

		{"no repository", "observe", func(p *patient) { p.o.Desired = app.Desired{} }, doctor.IDGitSource, doctor.Skipped, "no repository", ""},
		{"a repository that is not there", "observe", func(p *patient) { p.o.Desired = app.Desired{URL: "file://" + p.t.TempDir() + "/none.git"} }, doctor.IDGitSource, doctor.Failed, "", "git ls-remote"},
		{"a document is broken", "observe", func(p *patient) {
			p.file("bad.yaml", "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {}\n")
		}, doctor.IDRevision, doctor.Failed, "bad.yaml:", "lanyard validate"},
		{"nothing for this cluster", "observe", func(p *patient) { p.file("none.yaml", "") }, doctor.IDRevision, doctor.Warning, "no mapping", "source.paths"},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, test.mode)
			p.t = t
			test.break_(p)
			c := of(p.examine(), test.id)
			if c.Result != test.want || !strings.Contains(strings.Join(c.Evidence, "\n"), test.seen) || !strings.Contains(c.Fix, test.fix) || (c.Fix == "") != (c.Result == doctor.OK || c.Result == doctor.Skipped) {
				t.Errorf("%s is %s\n%s\nfix: %s\nwant %s with %q, fix with %q", c.ID, c.Result, strings.Join(c.Evidence, "\n"), c.Fix, test.want, test.seen, test.fix)
			}
		})
	}
}

const administrator = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: cluster-admin}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: oops}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: Group, name: "system:serviceaccounts:lanyard"}]
`

// file writes a file; a YAML one stands in a working tree of its own, which is then what
// Git wants.
func (p *patient) file(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), name)
	p.must(os.WriteFile(path, []byte(text), 0o600))
	if strings.HasSuffix(name, ".yaml") {
		p.o.Desired = app.Desired{Dirs: []string{filepath.Dir(path)}}
	}
	return path
}

// withoutRBAC takes a verb out of the roles.
func (p *patient) withoutRBAC(verb string) error {
	return p.Kube.SeedManifests(strings.ReplaceAll(p.wants.RBAC(), `"`+verb+`"`, `"none"`))
}

func (p *patient) emptyWebhook() error {
	_, err := p.Client("system:admin").AdmissionregistrationV1().MutatingWebhookConfigurations().Update(p.t.Context(),
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pod-identity-webhook"}}, metav1.UpdateOptions{})
	return err
}

func (p *patient) weakBinding() error {
	_, err := p.Client("system:admin").AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Patch(p.t.Context(), rights.AdmissionPolicy,
		types.MergePatchType, []byte(`{"spec":{"validationActions":["Warn"]}}`), metav1.PatchOptions{})
	return err
}

// withoutAgent takes the agent away, and its pods.
func (p *patient) withoutAgent() error {
	admin := p.Client("system:admin")
	sets, err := admin.AppsV1().DaemonSets("kube-system").List(p.t.Context(), metav1.ListOptions{})
	for _, d := range sets.Items {
		if strings.HasPrefix(d.Name, "eks-pod-identity-agent") {
			err = errors.Join(err, admin.AppsV1().DaemonSets("kube-system").Delete(p.t.Context(), d.Name, metav1.DeleteOptions{}))
		}
	}
	pods, listed := admin.CoreV1().Pods("kube-system").List(p.t.Context(), metav1.ListOptions{})
	for _, pod := range pods.Items {
		if strings.HasPrefix(pod.Name, "eks-pod-identity-agent") {
			err = errors.Join(err, admin.CoreV1().Pods("kube-system").Delete(p.t.Context(), pod.Name, *metav1.NewDeleteOptions(0)))
		}
	}
	return errors.Join(err, listed)
}

func (p *patient) newNode(made time.Time) error {
	return p.Kube.Seed(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "bare", CreationTimestamp: metav1.NewTime(made), Labels: map[string]string{"kubernetes.io/os": "linux"}}})
}

// TestLaw8DoctorWithinRights: the doctor asks with the rights of the mode that it judges,
// with what rights.Doctor names, and with what AWS and Kubernetes give to everybody.
// Whether it asks as lanyard, about lanyard, or without simulation.
func TestLaw8DoctorWithinRights(t *testing.T) {
	t.Parallel()
	statement, rule := rights.Doctor(rights.Place{})
	// Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#discovery-roles
	everybody := []string{"sts:GetCallerIdentity", "create authentication.k8s.io/selfsubjectreviews", "create authorization.k8s.io/selfsubjectaccessreviews"}
	for name, change := range map[string]func(*patient){
		"itself":        func(*patient) {},
		"not simulated": func(p *patient) { p.refuse("iam", "SimulatePrincipalPolicy") },
		"about lanyard": func(p *patient) {
			p.o.As, p.o.AsRole = "system:serviceaccount:lanyard:lanyard", identity.RoleARN{Partition: "aws", Account: p.Account, Path: "/tools/", Name: "lanyard"}
		},
	} {
		for _, mode := range rights.Modes() {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				p := newPatient(t, desired.Mode(mode))
				change(p)
				p.Kube.ForgetCalls()
				before, _ := p.AWS.Calls(0)
				p.examine()
				may := slices.Concat(everybody, statement.Actions, rights.Verbs([]rights.Rule{rule}), rights.Actions(p.wants.Statements, p.wants.Away), rights.Verbs(p.wants.Rules, p.wants.Own))
				calls, _ := p.AWS.Calls(0)
				used := map[string]bool{}
				for _, c := range calls[len(before):] {
					used[c.Service+":"+c.Operation] = true
				}
				for _, c := range p.Kube.Calls() {
					if c.User == "lanyard" {
						used[c.Verb+" "+strings.TrimPrefix(c.Group+"/"+c.Resource, "/")] = true
					}
				}
				for u := range used {
					if !slices.Contains(may, u) && !strings.HasSuffix(u, " version") && !strings.HasSuffix(u, " group") { // discovery of the fake
						t.Errorf("it asked for %s", u)
					}
				}
				if simulated := used["iam:SimulatePrincipalPolicy"]; !simulated || len(used) < 10 {
					t.Errorf("it used %v", used)
				}
			})
		}
	}
}

// TestDoctorNeverHangs: what does not answer is unknown within its time, and the rest is
// checked.
func TestDoctorNeverHangs(t *testing.T) {
	t.Parallel()
	p := newPatient(t, "observe")
	p.AWS.AddFault(awsd.Fault{Service: "sts", Operation: "GetCallerIdentity", Kind: awsd.Hang})
	p.o.Issuer = func(ctx context.Context) (string, error) { select {} }
	p.o.Timeout = time.Second
	start := time.Now()
	r := p.examine()
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	for id, want := range map[doctor.ID]doctor.Result{doctor.IDAWSIdentity: doctor.Unknown, doctor.IDIssuer: doctor.Unknown, doctor.IDWebhook: doctor.OK, doctor.IDRevision: doctor.OK} {
		if c := of(r, id); c.Result != want {
			t.Errorf("%s is %s: %q, want %s", id, c.Result, c.Evidence, want)
		}
	}
	if c := of(r, doctor.IDAWSIdentity); !strings.Contains(strings.Join(c.Evidence, " "), "no answer") {
		t.Errorf("%s does not say that nobody answered: %q", c.ID, c.Evidence)
	}
}

// TestDoctorNeedsACluster: without a cluster there is nothing to look at.
func TestDoctorNeedsACluster(t *testing.T) {
	t.Parallel()
	if _, err := app.Doctor(t.Context(), app.DoctorOptions{Mode: "observe"}); err == nil || !strings.Contains(err.Error(), "--cluster") {
		t.Errorf("%v, want an error that names --cluster", err)
	}
}
