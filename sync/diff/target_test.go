package diff_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

var target = identity.RoleARN{Partition: "aws", Account: "210987654321", Path: "/", Name: "bucket"}

const externalID = "eu-west-1/123456789012/irsa-lab/demo/reader"

// The statements that the EKS guide gives a target role, filled in.
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html
var (
	targetTagged = fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{`+
		`"StringEquals":{"aws:RequestTag/eks-cluster-arn":%q,"aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":"reader"},`+
		`"ArnEquals":{"aws:PrincipalARN":%q}}}`, account, cluster.ARN(), role)
	targetByID   = fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":%q}}}`, role, externalID)
	targetAssume = fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole"}`, role)
)

// onTarget is a subject on Pod Identity with a target role in another account, in sync.
func onTarget(t *testing.T) *world {
	w := onPodIdentity(t)
	w.mapping.PodIdentity.TargetRole = target
	w.association().TargetRole, w.association().ExternalID = target, externalID
	w.facts.Roles = append(w.facts.Roles, live.Role{ARN: target, Presence: live.Present, TrustPolicy: policy(t, targetTagged)})
	return w
}

// withoutTags turns the session tags off, in Git and in the world.
func (w *world) withoutTags(t *testing.T) {
	g := grant(identity.PodIdentity)
	g.SessionTags, g.Width = false, identity.WidthAccount
	w.mapping.PodIdentity.SessionTags, w.mapping.PodIdentity.Trust = false, g.Width
	w.association().SessionTagsOff = true
	w.role().TrustPolicy = policy(t, g)
}

func TestTarget(t *testing.T) {
	t.Parallel()
	theTarget := func(w *world) *live.Role { return &w.facts.Roles[1] }
	type want struct {
		Decision trust.Decision
		Class    diff.Class
		Kinds    []diff.Kind
		Severity diff.Severity // of the first finding
		Unknown  []string
	}
	denied := func(k diff.Kind) want {
		return want{trust.Deny, diff.Drift, []diff.Kind{k}, diff.Critical, nil}
	}
	undecidable := want{trust.Undecidable, diff.Drift, []diff.Kind{diff.TrustUndecidable}, diff.Warning, nil}
	inSync := want{Decision: trust.Allow, Class: diff.Rest}
	for _, tt := range []struct {
		name  string
		wreck func(*world)
		want  want
	}{
		{"in sync", func(*world) {}, inSync},
		{"no target asked for", func(w *world) {
			w.mapping.PodIdentity.TargetRole, w.association().TargetRole = identity.RoleARN{}, identity.RoleARN{}
			theTarget(w).Presence = live.Absent
		}, want{Class: diff.Rest}},
		{"by external ID, tags off", func(w *world) {
			w.withoutTags(t)
			theTarget(w).TrustPolicy = policy(t, targetByID)
		}, inSync},
		{"by external ID, which is not known yet", func(w *world) {
			w.withoutTags(t)
			w.association().ExternalID = ""
			theTarget(w).TrustPolicy = policy(t, targetByID)
		}, undecidable},
		{"by external ID, tags on", func(w *world) {
			theTarget(w).TrustPolicy = policy(t, targetByID, fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:TagSession"}`, role))
		}, undecidable},
		{"by organisation, which is not known", func(w *world) {
			theTarget(w).TrustPolicy = policy(t, `{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}}`)
		}, undecidable},
		{"by organisation", func(w *world) {
			w.opts.OrganizationID = "o-a1b2c3d4e5"
			theTarget(w).TrustPolicy = policy(t, `{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}}`)
		}, inSync},
		{"not a policy", func(w *world) { theTarget(w).TrustPolicy = "{" }, undecidable},
		{"beyond the grammar", func(w *world) { theTarget(w).TrustPolicy = "{}" }, undecidable},
		{"no TagSession", func(w *world) { theTarget(w).TrustPolicy = policy(t, targetAssume) }, denied(diff.TrustTagSessionMissing)},
		{"no TagSession, tags off", func(w *world) {
			w.withoutTags(t)
			theTarget(w).TrustPolicy = policy(t, targetAssume)
		}, inSync},
		{"trusts EKS, not the role", func(w *world) { theTarget(w).TrustPolicy = policy(t, grant(identity.PodIdentity)) }, denied(diff.TrustPodIdentityMissing)},
		{"trusts another ServiceAccount", func(w *world) {
			theTarget(w).TrustPolicy = policy(t, strings.ReplaceAll(targetTagged, `"reader"`, `"writer"`))
		}, denied(diff.TrustPodIdentityMissing)},
		{"gone", func(w *world) { *theTarget(w) = live.Role{ARN: target, Presence: live.Absent} }, denied(diff.RoleMissing)},
		{"not read", func(w *world) { *theTarget(w) = live.Role{ARN: target, Presence: live.Unknown} },
			want{Decision: trust.Undecidable, Class: diff.Blind, Unknown: []string{"target role arn:aws:iam::210987654321:role/bucket"}}},
		{"not asked for", func(w *world) { w.facts.Roles = w.facts.Roles[:1] },
			want{Decision: trust.Undecidable, Class: diff.Blind, Unknown: []string{"target role arn:aws:iam::210987654321:role/bucket"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := onTarget(t)
			tt.wreck(w)
			j := w.compare(t).Judged[0]
			got := want{Decision: j.Target.Decision, Class: j.Class, Unknown: j.Unknown}
			for i, f := range j.Findings {
				got.Kinds = append(got.Kinds, f.Kind)
				if i == 0 {
					got.Severity = f.Severity
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("want -, got +:\n%s\nverdict %+v\nfindings %v", d, j.Target, j.Findings)
			}
			if j.Trust.Decision != trust.Allow {
				t.Errorf("the mapping's own role: %v (%s), want allow", j.Trust.Decision, j.Trust.Reason)
			}
		})
	}
}

// TestTargetMessage: a person who owns the target reads what to write into it.
func TestTargetMessage(t *testing.T) {
	t.Parallel()
	w := onTarget(t)
	w.facts.Roles[1].TrustPolicy = policy(t, targetAssume)
	w.facts.Roles[1].Tags = map[string]string{"aws:cloudformation:stack-name": "shared"}
	f := w.compare(t).Findings[0]
	got := []string{f.Message, f.Expected, f.Actual, f.Owner, f.Position.String()}
	want := []string{
		"target role arn:aws:iam::210987654321:role/bucket does not let arn:aws:iam::123456789012:role/reader in, so pods get no credentials: " +
			"statement 1 allows sts:AssumeRole, but nothing allows sts:TagSession, which EKS needs while session tags are on; " +
			"its trust policy must allow sts:AssumeRole and sts:TagSession to that role for this ServiceAccount",
		"arn:aws:iam::123456789012:role/reader may call sts:AssumeRole and sts:TagSession on arn:aws:iam::210987654321:role/bucket",
		"it may not", "CloudFormation", "demo.yaml:4:9",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}

// TestTargetOfTransition: on the way from IRSA the target is judged already, as
// something to know; a mapping that stays on IRSA has no target.
func TestTargetOfTransition(t *testing.T) {
	t.Parallel()
	w := onIRSA(t)
	w.mapping.Mechanism, w.mapping.PodIdentity.TargetRole = identity.PodIdentity, target
	w.facts.Roles = append(w.facts.Roles, live.Role{ARN: target, Presence: live.Present, TrustPolicy: policy(t, targetAssume)})
	j := w.compare(t).Judged[0]
	i := slices.IndexFunc(j.Findings, func(f diff.Finding) bool { return f.Kind == diff.TrustTagSessionMissing })
	if j.Class != diff.Transition || j.Target.Cause != trust.NoTagSession || i < 0 || j.Findings[i].Severity != diff.Info {
		t.Errorf("class %v, target %+v, findings %v; want transition, no-tag-session, and that as info", j.Class, j.Target, j.Findings)
	}
	w.mapping.Mechanism = identity.IRSA
	if j := w.compare(t).Judged[0]; j.Class != diff.Rest || j.Target != (trust.Verdict{}) {
		t.Errorf("on IRSA: class %v, target %+v, findings %v; want rest and no verdict", j.Class, j.Target, j.Findings)
	}
}

// TestOursIsExact: the mark counts on the association that it was made for.
func TestOursIsExact(t *testing.T) {
	t.Parallel()
	mark := func(cluster, mapping, owner string) live.Association {
		return live.Association{Namespace: "demo", ServiceAccount: "reader", OwnerARN: owner, Tags: map[string]string{diff.TagCluster: cluster, diff.TagMapping: mapping}}
	}
	for name, tt := range map[string]struct {
		a    live.Association
		want bool
	}{
		"lanyard's":           {mark(cluster.ARN(), "demo/reader", ""), true},
		"of another name":     {mark(cluster.ARN(), "demo/other-name", ""), true},
		"another namespace's": {mark(cluster.ARN(), "prod/reader", ""), false},
		"another cluster's":   {mark("arn:aws:eks:eu-west-1:123456789012:cluster/other", "demo/reader", ""), false},
		"an add-on's":         {mark(cluster.ARN(), "demo/reader", "arn:aws:eks:eu-west-1:123456789012:addon/irsa-lab/vpc-cni/1"), false},
		"no mapping":          {mark(cluster.ARN(), "demo/", ""), false},
		"no tags":             {live.Association{Namespace: "demo", ServiceAccount: "reader"}, false},
	} {
		if got := diff.Ours(tt.a, cluster); got != tt.want {
			t.Errorf("%s: ours %t; want %t", name, got, tt.want)
		}
	}
}
