package test_test

import (
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/rights"
)

// variants are the overlays, alone and with all components.
var variants = []struct {
	overlay    string
	components []string
}{{"observe", nil}, {"repair", nil}, {"migrate", nil}, {"observe", both}, {"repair", both}, {"migrate", append(both, "identity-probe")}}

var both = []string{"hooks", "api-access"}

// one returns the only object of a type.
func one[T any](t *testing.T, all []built, name string) T {
	t.Helper()
	var found []T
	for _, b := range all {
		if _, is := head(t, b.json); is == name {
			if o, ok := b.obj.(T); ok {
				found = append(found, o)
			}
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T named %s, want one", len(found), *new(T), name)
	}
	return found[0]
}

// TestDeployDecodes: every object of every overlay decodes strictly, is in lanyard's
// namespace if it is in one, and stands once.
func TestDeployDecodes(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		all := build(t, deploy+"/kubernetes/overlays/"+v.overlay, v.components...)
		seen := map[string]bool{}
		for _, b := range all {
			kind, name := head(t, b.json)
			if seen[kind+name] {
				t.Errorf("%s: %s %s stands twice", v.overlay, kind, name)
			}
			seen[kind+name] = true
			namespaced := !slices.Contains([]string{"Namespace", "ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}, kind)
			if o := b.obj.(interface{ GetNamespace() string }); (o.GetNamespace() == "lanyard") != namespaced {
				t.Errorf("%s: %s %s is in namespace %q", v.overlay, kind, name, o.GetNamespace())
			}
		}
	}
}

// TestDeployedPod: what runs is confined, is watched, is told of files that are
// mounted, and takes its image from the overlay.
func TestDeployedPod(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		all := build(t, deploy+"/kubernetes/overlays/"+v.overlay, v.components...)
		d := one[*appsv1.Deployment](t, all, "lanyard")
		if c := d.Spec.Template.Spec.Containers[0]; c.Image != "lanyard" {
			t.Errorf("%s: image %s, want lanyard, which the overlay replaces", v.overlay, c.Image)
		}
		soundPod(t, v.overlay, d)
		labels := d.Spec.Template.Labels
		for _, selector := range []map[string]string{d.Spec.Selector.MatchLabels, one[*corev1.Service](t, all, "lanyard").Spec.Selector,
			one[*policyv1.PodDisruptionBudget](t, all, "lanyard").Spec.Selector.MatchLabels, one[*networkingv1.NetworkPolicy](t, all, "lanyard").Spec.PodSelector.MatchLabels} {
			for key, value := range selector {
				if labels[key] != value {
					t.Errorf("%s: a selector wants %s=%s, the pod has %v", v.overlay, key, value, labels)
				}
			}
		}
	}
}

// soundPod holds that what runs is confined, is watched, and is told of files that are
// mounted.
func soundPod(t *testing.T, what string, d *appsv1.Deployment) {
	t.Helper()
	pod := d.Spec.Template.Spec
	c := pod.Containers[0]
	if *d.Spec.Replicas < 2 || len(pod.Containers) != 1 || *pod.TerminationGracePeriodSeconds < 30 || len(pod.TopologySpreadConstraints) == 0 {
		t.Errorf("%s: %d replicas of %d containers, %d s to end, %d spreads", what, *d.Spec.Replicas, len(pod.Containers), *pod.TerminationGracePeriodSeconds, len(pod.TopologySpreadConstraints))
	}
	confined := *pod.SecurityContext.RunAsNonRoot && *pod.SecurityContext.RunAsUser > 0 && pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault &&
		*c.SecurityContext.ReadOnlyRootFilesystem && !*c.SecurityContext.AllowPrivilegeEscalation && cmp.Equal(c.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"})
	if !confined || c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
		t.Errorf("%s: the pod may more than it needs: %+v %+v", what, pod.SecurityContext, c.SecurityContext)
	}
	if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("%s: probes %s and %s", what, c.LivenessProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path)
	}
	for _, arg := range c.Args {
		file := arg[strings.LastIndex(arg, "=")+1:]
		if strings.HasPrefix(file, "/") && !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
			return strings.HasPrefix(file+"/", m.MountPath+"/")
		}) {
			t.Errorf("%s: %s names a file that is not mounted", what, arg)
		}
	}
	for _, m := range c.VolumeMounts {
		if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
			t.Errorf("%s: mount %s has no volume", what, m.Name)
		}
	}
}

// TestDeployedConfiguration: the configuration that ships is one, in the overlay's mode.
func TestDeployedConfiguration(t *testing.T) {
	t.Parallel()
	for _, mode := range rights.Modes() {
		m := one[*corev1.ConfigMap](t, build(t, deploy+"/kubernetes/overlays/"+mode), "lanyard")
		c, err := desired.ParseConfiguration("lanyard.yaml", []byte(m.Data["lanyard.yaml"]))
		if err != nil {
			t.Fatal(err)
		}
		if string(c.Mode) != mode || c.Source.URL == "" {
			t.Errorf("overlay %s: mode %s, source %q", mode, c.Mode, c.Source.URL)
		}
	}
}

// TestDeployedRights: the typed roles of an overlay grant what lanyard policy says, to
// lanyard's ServiceAccount; with components what their features add.
func TestDeployedRights(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		all := build(t, deploy+"/kubernetes/overlays/"+v.overlay, v.components...)
		var got, named []string
		for _, b := range all {
			rules := rulesOf(t, b, rights.Place{Namespace: "lanyard", ServiceAccount: "lanyard"})
			got = append(got, granted(rules)...)
			if _, is := b.obj.(*rbacv1.ClusterRole); is {
				named = append(named, namesOf(rules)...)
			}
		}
		var features []string
		if v.components != nil {
			features = []string{rights.APIAccess}
		}
		if slices.Contains(v.components, "identity-probe") {
			features = append(features, rights.IdentityProbe)
		}
		w, err := rights.For(v.overlay, features, rights.Place{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(rights.Verbs(w.Rules, w.Own), sorted(got)); d != "" {
			t.Errorf("overlay %s with %v (-policy +deploy)\n%s", v.overlay, v.components, d)
		}
		var want []string
		for _, r := range w.Rules {
			want = append(want, r.Names...)
		}
		if d := cmp.Diff(sorted(want), sorted(named)); d != "" {
			t.Errorf("overlay %s with %v: names (-policy +deploy)\n%s", v.overlay, v.components, d)
		}
	}
}

// rulesOf are a role's; of a binding it holds that it is to lanyard.
func rulesOf(t *testing.T, b built, place rights.Place) []rbacv1.PolicyRule {
	t.Helper()
	var subjects []rbacv1.Subject
	switch o := b.obj.(type) {
	case *rbacv1.ClusterRole:
		return o.Rules
	case *rbacv1.Role:
		return o.Rules
	case *rbacv1.ClusterRoleBinding:
		subjects = o.Subjects
	case *rbacv1.RoleBinding:
		subjects = o.Subjects
	default:
		return nil
	}
	if d := cmp.Diff([]rbacv1.Subject{{Kind: "ServiceAccount", Name: place.ServiceAccount, Namespace: place.Namespace}}, subjects); d != "" {
		t.Errorf("bound to others than lanyard (-want +got)\n%s", d)
	}
	return nil
}

func granted(rules []rbacv1.PolicyRule) (out []string) {
	for _, r := range rules {
		list := rights.Rule{Verbs: r.Verbs, Resources: r.Resources, Paths: r.NonResourceURLs}
		if len(r.APIGroups) > 0 {
			list.Group = r.APIGroups[0]
		}
		out = append(out, rights.Verbs([]rights.Rule{list})...)
	}
	return out
}

func namesOf(rules []rbacv1.PolicyRule) (out []string) {
	for _, r := range rules {
		out = append(out, r.ResourceNames...)
	}
	return out
}

// TestDeployedAdmission: the policy is about lanyard's user and every pod that is
// created, and its binding denies.
func TestDeployedAdmission(t *testing.T) {
	t.Parallel()
	all := build(t, deploy+"/kubernetes/overlays/repair")
	p := one[*admissionv1.ValidatingAdmissionPolicy](t, all, "lanyard-creates-no-pods").Spec
	b := one[*admissionv1.ValidatingAdmissionPolicyBinding](t, all, "lanyard-creates-no-pods").Spec
	account := one[*corev1.ServiceAccount](t, all, "lanyard")
	user := `request.userInfo.username == "system:serviceaccount:` + account.Namespace + ":" + account.Name + `"`
	r := p.MatchConstraints.ResourceRules[0]
	switch {
	case *p.FailurePolicy != admissionv1.Fail, len(p.Validations) != 1, p.Validations[0].Expression != "has(request.dryRun) && request.dryRun",
		len(p.MatchConditions) != 1, p.MatchConditions[0].Expression != user,
		!cmp.Equal(r.Resources, []string{"pods"}), !cmp.Equal(r.Operations, []admissionv1.OperationType{admissionv1.Create}),
		b.PolicyName != "lanyard-creates-no-pods", !cmp.Equal(b.ValidationActions, []admissionv1.ValidationAction{admissionv1.Deny}), b.MatchResources != nil:
		t.Errorf("the policy %+v with the binding %+v does not refuse every pod of %s", p, b, user)
	}
}
