package test_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/internal/sandbox"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/identityprobe"
	"github.com/lanyard-io/lanyard/migrate/probe"
	"github.com/lanyard-io/lanyard/sync/apply"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/observe"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// needsNone are calls that AWS lets everybody make.
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
var needsNone = []string{"sts:GetCallerIdentity"}

// carried are the actions that AWS asks for beside the one a call is named after: who
// creates an association passes its role, and tags it.
// Sources: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-association.html and
// https://docs.aws.amazon.com/eks/latest/APIReference/API_TagResource.html
var carried = map[string][]string{
	"eks:CreatePodIdentityAssociation": {"eks:TagResource", "iam:PassRole"},
	"eks:UpdatePodIdentityAssociation": {"iam:PassRole"},
}

// privileged is lanyard in a world that counts what it asks for.
type privileged struct {
	*sandbox.World
	opts app.Options
	repo *gitd.Repo
	api  *apiServer
}

// newPrivileged makes the example fleet and two subjects more: one waits for its
// association, the other for a statement in another account.
func newPrivileged(t *testing.T, mode desired.Mode, change ...func(*live.Facts)) *privileged {
	t.Helper()
	facts, err := live.DecodeFacts(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	facts.Namespaces = append(facts.Namespaces, live.Namespace{Name: "fresh"})
	facts.Workloads = append(facts.Workloads, live.Workload{Namespace: "fresh", Kind: "StatefulSet", Name: "db", ServiceAccount: "db", Replicas: 1})
	facts.ServiceAccounts = append(facts.ServiceAccounts, live.ServiceAccount{Namespace: "fresh", Name: "db"}, live.ServiceAccount{Namespace: "fresh", Name: "writer", UID: "00000000-0000-4000-8000-00000000fe01", ResourceVersion: "9001"},
		live.ServiceAccount{Namespace: "fresh", Name: "away", UID: "00000000-0000-4000-8000-00000000fe02", ResourceVersion: "9002", Annotations: map[string]string{"eks.amazonaws.com/role-arn": awayRole}})
	for _, c := range change {
		c(&facts)
	}
	data, err := facts.EncodeJSON()
	if err != nil {
		t.Fatal(err)
	}
	w, err := sandbox.Load(data, sandbox.Options{Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	config, err := desired.ParseConfiguration("lanyard.yaml", examples.Configuration)
	if err != nil {
		t.Fatal(err)
	}
	config.Mode = mode
	for arn, trust := range map[string]string{
		config.Accounts[0].Role.String(): `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"irsa-lab-lanyard"}}}]}`,
		awayRole:                         `{"Version":"2012-10-17","Statement":[{"Sid":"Theirs","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::210987654321:root"},"Action":"sts:AssumeRole"}]}`,
		freshRole:                        `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`,
	} {
		if err := w.AWS.PutRole(awsd.Role{ARN: arn, Trust: trust}); err != nil {
			t.Fatal(err)
		}
	}
	p := &privileged{World: w, api: newAPIServer(t, w.Kube.Issuer)}
	url := p.serve(t)
	id, secret := awsd.AccessKey(w.Account)
	cfg := app.StaticAWS(w.Region, w.URL, id, secret)
	cfg.RetryMaxAttempts = 1
	p.opts = app.Options{
		Config: config, Desired: app.Desired{URL: url, Ref: "main", Paths: []string{"."}},
		Kube: front{w.Client("lanyard"), p.api.client},
		AWS:  cfg, Now: w.Clock.Now, Sleep: w.Pass, Spacing: func() time.Duration { return 0 },
	}
	return p
}

const (
	freshRole = "arn:aws:iam::123456789012:role/fresh-writer"
	freshFile = "fresh/writer.yaml"
	awayRole  = "arn:aws:iam::210987654321:role/fresh-away"
	fresh     = "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {name: writer, namespace: fresh}\nspec: {roleARN: \"" + freshRole + "\", mechanism: pod-identity}\n"
	away      = "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {name: away, namespace: fresh}\nspec: {roleARN: \"" + awayRole + "\", mechanism: irsa, adopt: [trust]}\n"
)

// serve puts the fleet in a repository, with the subjects more, and serves it.
func (p *privileged) serve(t *testing.T) (url string) {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	if p.repo, err = gitd.Init(filepath.Join(t.TempDir(), "fleet.git")); err != nil {
		t.Fatal(err)
	}
	if _, err = p.repo.Import("main", examples.Fleet(), gitd.By(p.Clock.Now())); err != nil {
		t.Fatal(err)
	}
	if _, err = p.repo.Commit(gitd.Change{Branch: "main", Write: map[string]string{freshFile: fresh, "fresh/away.yaml": away}, By: gitd.By(p.Clock.Now())}); err != nil {
		t.Fatal(err)
	}
	server, err := gitd.Serve(t.Context(), p.repo, gitd.Options{Git: git})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server.URL
}

// rest runs a process of its own until it rests.
func (p *privileged) rest(t *testing.T) report.Round {
	t.Helper()
	s, err := app.NewSyncer(t.Context(), p.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Rest(t.Context(), 24*time.Hour, func(report.Round) {})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// used returns what lanyard has asked for, as IAM and RBAC name it.
func (p *privileged) used(t *testing.T) demand {
	t.Helper()
	var d demand
	calls, _ := p.AWS.Calls(0)
	for _, c := range calls {
		if c.Principal == "" { // refused before it was asked what its caller may: a session that is over
			continue
		}
		action := c.Service + ":" + c.Operation
		switch actions := append([]string{action}, carried[action]...); {
		case slices.Contains(needsNone, action):
		case c.Account == p.Account:
			d.home = append(d.home, actions...)
		default:
			d.away = append(d.away, actions...)
		}
		if mark := "lanyard.io/cluster"; action == "eks:CreatePodIdentityAssociation" && !(strings.Contains(c.Params, mark) && strings.Contains(c.Params, p.ARN)) {
			t.Errorf("an association was asked for without the tag that the policy demands: %s", c.Params)
		}
	}
	for _, c := range p.Kube.Calls("lanyard") {
		what := strings.TrimPrefix(c.Group+"/"+c.Resource, "/")
		if d.verbs = append(d.verbs, c.Verb+" "+what); c.Resource == "leases" && (c.Namespace != "lanyard" || c.Name != "lanyard") {
			t.Errorf("%s of Lease %s/%s, which is not lanyard's own", c.Verb, c.Namespace, c.Name)
		}
	}
	d.verbs = append(d.verbs, p.api.asked()...)
	return d
}

// asks puts the admission probe's question about a workload of each kind.
func (p *privileged) asks(t *testing.T) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: "fresh", Name: "made"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "made"}},
		Spec: corev1.PodSpec{ServiceAccountName: "db", RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "main", Image: "main:1"}}}}
	if err := errors.Join(p.Kube.SeedManifests(rights.Place{}.Admission()), p.Kube.Seed(
		&appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template}},
		&batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Suspend: new(true), Template: template}},
		&batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{Schedule: "@daily", Suspend: new(true), JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}},
	)); err != nil {
		t.Fatal(err)
	}
	prober := probe.New(probe.Options{Kube: p.Client("lanyard"), Judge: observe.Given, Now: p.Clock.Now})
	for ref, subject := range map[live.WorkloadRef]identity.Subject{
		{Kind: "Deployment", Name: "api"}:     {Namespace: "payments", ServiceAccount: "api"},
		{Kind: "DaemonSet", Name: "aws-node"}: {Namespace: "kube-system", ServiceAccount: "aws-node"},
		{Kind: "StatefulSet", Name: "db"}:     {Namespace: "fresh", ServiceAccount: "db"},
		{Kind: "ReplicaSet", Name: "made"}:    {Namespace: "fresh", ServiceAccount: "db"},
		{Kind: "Job", Name: "made"}:           {Namespace: "fresh", ServiceAccount: "db"},
		{Kind: "CronJob", Name: "made"}:       {Namespace: "fresh", ServiceAccount: "db"},
	} {
		answers, err := prober.Ask(t.Context(), subject, ref)
		if err != nil || len(answers) != 1 || answers[0].Result != migrate.AnswerGiven {
			t.Errorf("ask about %s: %+v, %v", ref, answers, err)
		}
	}
}

// hands takes a step of each kind that moves pods, about a workload of each kind.
func (p *privileged) hands(t *testing.T) {
	t.Helper()
	cfg := *p.opts.AWS
	look := observe.New(observe.Options{Cluster: p.opts.Config.Cluster, Kube: p.opts.Kube, EKS: eks.NewFromConfig(cfg), STS: sts.NewFromConfig(cfg), Now: p.Clock.Now,
		IAM: func(string) (observe.IAMReader, error) { return iam.NewFromConfig(cfg), nil }})
	cluster, err := look.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	applier := apply.New(apply.Options{Cluster: cluster, Look: look, Now: p.Clock.Now, Workloads: apply.Workloads(p.opts.Kube, nil),
		Pods: func(namespace string) apply.PodEvicter { return p.opts.Kube.CoreV1().Pods(namespace) }})
	for subject, ref := range map[identity.Subject]live.WorkloadRef{
		{Namespace: "payments", ServiceAccount: "api"}:         {Kind: "Deployment", Name: "api"},
		{Namespace: "kube-system", ServiceAccount: "aws-node"}: {Kind: "DaemonSet", Name: "aws-node"},
		{Namespace: "fresh", ServiceAccount: "db"}:             {Kind: "StatefulSet", Name: "db"},
	} {
		s, err := look.Look(t.Context(), subject)
		if err != nil {
			t.Fatal(err)
		}
		workloads, _ := s.Workloads(subject)
		pods, _ := s.Pods(subject)
		if len(workloads) != 1 || workloads[0].Ref() != ref || len(pods) == 0 {
			t.Fatalf("%s has %v and %d pods, want %s", subject, workloads, len(pods), ref)
		}
		uid := workloads[0].UID
		for _, a := range []plan.Action{plan.RestartWorkload{Workload: ref, UID: uid}, plan.PauseRollout{Workload: ref, UID: uid, Why: "a test"},
			plan.ResumeRollout{Workload: ref, UID: uid}, plan.EvictPod{Pod: pods[0].Name, UID: pods[0].UID}} {
			o := applier.Apply(t.Context(), plan.Plan{Cluster: cluster.Name, Steps: []plan.Step{{Subject: subject, Effect: plan.Cross, Action: a}}})[0]
			if o.Result != report.Done {
				t.Errorf("%s: %s: %s, %v", subject, a, o.Result, o.Err)
			}
		}
	}
}

// identifies runs an identity probe, and removes it.
func (p *privileged) identifies(t *testing.T) {
	t.Helper()
	label := map[string]string{"app": "lanyard"}
	if err := errors.Join(p.Kube.SeedManifests(rights.Place{}.JobAdmission()), p.Kube.Seed(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "lanyard", Name: rights.Deployment},
		Spec: appsv1.DeploymentSpec{Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: label}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: label},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: rights.Deployment, Image: "lanyard:1"}}}}}})); err != nil {
		t.Fatal(err)
	}
	kube := p.Client("lanyard")
	guard := probe.New(probe.Options{Kube: kube, Judge: observe.Given, Now: p.Clock.Now})
	prober := identityprobe.New(identityprobe.Options{Kube: kube, Guard: guard.GuardJobs, Now: time.Now})
	ask := migrate.IdentityAsk{Subject: identity.Subject{Namespace: "fresh", ServiceAccount: "db"}}
	for _, round := range []*migrate.IdentityAsk{&ask, &ask, nil} {
		if got, err := prober.Round(t.Context(), round); err != nil || got.Done || got.Left != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// TestLeastPrivilege: law 8. What `lanyard policy` prints for a mode is what lanyard
// asks for in that mode, over worlds that make it go every way: no right is missing,
// and none is left over.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	for _, mode := range rights.Modes() {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			want := demanded(t, mode)
			w, err := rights.For(mode, want.features, rights.Place{Account: "123456789012", Roles: []string{"arn:aws:iam::123456789012:role/*", "arn:aws:iam::210987654321:role/*"}})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(sorted(want.home), rights.Actions(w.Statements)); d != "" {
				t.Errorf("AWS actions in the cluster's account (-used +granted)\n%s", d)
			}
			if d := cmp.Diff(sorted(want.away), rights.Actions(w.Away)); d != "" {
				t.Errorf("AWS actions in the other account (-used +granted)\n%s", d)
			}
			// The sandbox has no kinds but Kubernetes' own: test/e2e holds what is asked of others.
			readers := rights.Verbs(rights.Readers())
			granted := slices.DeleteFunc(rights.Verbs(w.Rules, w.Own), func(verb string) bool {
				return slices.Contains(readers, verb) || strings.HasSuffix(verb, " argoproj.io/rollouts")
			})
			if d := cmp.Diff(sorted(want.verbs), granted); d != "" {
				t.Errorf("Kubernetes verbs (-used +granted)\n%s", d)
			}
		})
	}
}

// TestLeastPrivilegeFeatures: a feature left out takes its rights with it.
func TestLeastPrivilegeFeatures(t *testing.T) {
	t.Parallel()
	for feature, want := range map[string][]string{
		rights.Accounts:   {"sts:AssumeRole"},
		rights.CloudTrail: {"cloudtrail:LookupEvents"},
		rights.Prune:      {"eks:DeletePodIdentityAssociation"},
		rights.APIAccess:  {"create authentication.k8s.io/tokenreviews", "create authorization.k8s.io/subjectaccessreviews"},
		// The policy is read as the other one is: TestDeployedRights has the names.
		rights.IdentityProbe: {"create batch/jobs", "delete batch/jobs"},
	} {
		mode := map[bool]string{true: "migrate", false: "repair"}[feature == rights.IdentityProbe]
		base, err := rights.For(mode, nil, rights.Place{})
		if err != nil {
			t.Fatal(err)
		}
		with, err := rights.For(mode, []string{feature}, rights.Place{})
		if err != nil {
			t.Fatal(err)
		}
		before := append(rights.Actions(base.Statements, base.Away), rights.Verbs(base.Rules, base.Own)...)
		after := append(rights.Actions(with.Statements, with.Away), rights.Verbs(with.Rules, with.Own)...)
		more := slices.DeleteFunc(after, func(s string) bool { return slices.Contains(before, s) })
		if d := cmp.Diff(want, more); d != "" {
			t.Errorf("what %s adds (-want +got)\n%s", feature, d)
		}
	}
}

// demand is what a mode asked for with all its features.
type demand struct{ features, home, away, verbs []string }

// demanded goes every way there is in a mode, and collects.
func demanded(t *testing.T, mode string) demand {
	t.Helper()
	all := demand{features: []string{rights.Accounts, rights.APIAccess}}
	collect := func(p *privileged) {
		d := p.used(t)
		all.home, all.away, all.verbs = append(all.home, d.home...), append(all.away, d.away...), append(all.verbs, d.verbs...)
	}
	p := newPrivileged(t, desired.Mode(mode))
	p.rest(t)
	if mode != string(desired.ModeObserve) { // the subject more leaves Git again
		all.features = append(all.features, rights.Prune)
		commit, err := p.repo.Commit(gitd.Change{Branch: "main", Delete: []string{freshFile}, By: gitd.By(p.Clock.Now())})
		if err != nil {
			t.Fatal(err)
		}
		p.opts.Config.Prune, p.opts.Config.Source.Accept = desired.PruneOwned, commit
		p.rest(t)
	}
	if mode == string(desired.ModeMigrate) {
		p.hands(t)
		p.asks(t)
		p.identifies(t)
		all.features = append(all.features, rights.IdentityProbe)
	}
	collect(p)

	p = newPrivileged(t, desired.Mode(mode)) // where the broad bulk read is refused
	p.AWS.AddFault(awsd.Fault{Service: "iam", Operation: "GetAccountAuthorizationDetails", Kind: awsd.Refuse})
	p.rest(t)
	collect(p)

	// where an account does not know the cluster's issuer
	p = newPrivileged(t, desired.Mode(mode), func(f *live.Facts) { f.Providers = nil })
	p.rest(t)
	collect(p)

	p = newPrivileged(t, desired.Mode(mode)) // where no bulk read is granted
	p.AWS.AddFault(awsd.Fault{Service: "iam", Operation: "GetAccountAuthorizationDetails", Kind: awsd.Refuse})
	p.AWS.AddFault(awsd.Fault{Service: "iam", Operation: "ListRoles", Kind: awsd.Refuse})
	p.rest(t)
	collect(p)

	p = newPrivileged(t, desired.Mode(mode)) // and where a daemon does it
	p.daemon(t, mode)
	collect(p)
	return all
}
