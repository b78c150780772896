package probe

import (
	"errors"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/live"
)

type (
	policy  = admissionv1.ValidatingAdmissionPolicy
	binding = admissionv1.ValidatingAdmissionPolicyBinding
)

// tampering is every way to weaken the policy or its binding, with the field that is to
// be named.
var tampering = []struct {
	name    string
	policy  func(*policy)
	binding func(*binding)
	field   string
}{
	{"failurePolicy Ignore", func(p *policy) { p.Spec.FailurePolicy = new(admissionv1.Ignore) }, nil, `spec.failurePolicy is "Ignore" and must be "Fail"`},
	{"another user", func(p *policy) {
		p.Spec.MatchConditions[0].Expression = `request.userInfo.username == "system:serviceaccount:lanyard:other"`
	}, nil, "spec.matchConditions[0].expression"},
	{"a match condition more", func(p *policy) {
		p.Spec.MatchConditions = append(p.Spec.MatchConditions, admissionv1.MatchCondition{Name: "not-today", Expression: "false"})
	}, nil, "spec.matchConditions"},
	{"a match condition renamed", func(p *policy) { p.Spec.MatchConditions[0].Name = "other" }, nil, `spec.matchConditions[0].name is "other"`},
	{"for everybody", func(p *policy) { p.Spec.MatchConditions = nil }, nil, "spec.matchConditions is absent"},
	{"a weaker validation", func(p *policy) { p.Spec.Validations[0].Expression = "true" }, nil, `spec.validations[0].expression is "true"`},
	{"a validation of another name", func(p *policy) { p.Spec.Validations[0].Expression = "has(request.dryRun) || request.dryRun" }, nil, "spec.validations[0].expression"},
	{"no validation", func(p *policy) { p.Spec.Validations = nil }, nil, "spec.validations is absent"},
	{"another message", func(p *policy) { p.Spec.Validations[0].Message = "no" }, nil, "spec.validations[0].message"},
	{"another reason", func(p *policy) { p.Spec.Validations[0].Reason = nil }, nil, "spec.validations[0].reason is absent"},
	{"variables", func(p *policy) { p.Spec.Variables = []admissionv1.Variable{{Name: "x", Expression: "1"}} }, nil, "spec.variables"},
	{"parameters", func(p *policy) { p.Spec.ParamKind = &admissionv1.ParamKind{APIVersion: "v1", Kind: "ConfigMap"} }, nil, "spec.paramKind"},
	{"audit annotations", func(p *policy) {
		p.Spec.AuditAnnotations = []admissionv1.AuditAnnotation{{Key: "x", ValueExpression: "'y'"}}
	}, nil, "spec.auditAnnotations"},
	{"no constraints", func(p *policy) { p.Spec.MatchConstraints = nil }, nil, "spec.matchConstraints is absent"},
	{"exact matches only", func(p *policy) { p.Spec.MatchConstraints.MatchPolicy = new(admissionv1.Exact) }, nil, "spec.matchConstraints.matchPolicy"},
	{"some namespaces", func(p *policy) {
		p.Spec.MatchConstraints.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"guard": "on"}}
	}, nil, "spec.matchConstraints.namespaceSelector"},
	{"some pods", func(p *policy) {
		p.Spec.MatchConstraints.ObjectSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: metav1.LabelSelectorOpExists}}}
	}, nil, "spec.matchConstraints.objectSelector"},
	{"an exclusion", func(p *policy) {
		p.Spec.MatchConstraints.ExcludeResourceRules = []admissionv1.NamedRuleWithOperations{{ResourceNames: []string{"real"}}}
	}, nil, "spec.matchConstraints.excludeResourceRules"},
	{"other operations", func(p *policy) { p.Spec.MatchConstraints.ResourceRules[0].Operations[0] = admissionv1.Update }, nil, `operations[0] is "UPDATE" and must be "CREATE"`},
	{"other resources", func(p *policy) { p.Spec.MatchConstraints.ResourceRules[0].Resources[0] = "services" }, nil, "resources[0]"},
	{"another group", func(p *policy) { p.Spec.MatchConstraints.ResourceRules[0].APIGroups[0] = "apps" }, nil, "apiGroups[0]"},
	{"another version", func(p *policy) { p.Spec.MatchConstraints.ResourceRules[0].APIVersions[0] = "v2" }, nil, "apiVersions[0]"},
	{"another scope", func(p *policy) { p.Spec.MatchConstraints.ResourceRules[0].Scope = new(admissionv1.ClusterScope) }, nil, "scope"},
	{"some names", func(p *policy) { p.Spec.MatchConstraints.ResourceRules[0].ResourceNames = []string{"lanyard-probe"} }, nil, "resourceNames"},
	{"no rules", func(p *policy) { p.Spec.MatchConstraints.ResourceRules = nil }, nil, "resourceRules is absent"},
	{"going away", func(p *policy) { p.DeletionTimestamp = new(metav1.NewTime(start)) }, nil, "is being deleted"},

	{"bound to another policy", nil, func(b *binding) { b.Spec.PolicyName = "other" }, `spec.policyName is "other"`},
	{"audit only", nil, func(b *binding) { b.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit} }, `spec.validationActions[0] is "Audit" and must be "Deny"`},
	{"warn only", nil, func(b *binding) { b.Spec.ValidationActions[0] = admissionv1.Warn }, "spec.validationActions[0]"},
	{"warn besides", nil, func(b *binding) { b.Spec.ValidationActions = append(b.Spec.ValidationActions, admissionv1.Audit) }, "spec.validationActions"},
	{"no action", nil, func(b *binding) { b.Spec.ValidationActions = nil }, "spec.validationActions is absent"},
	{"a parameter", nil, func(b *binding) { b.Spec.ParamRef = &admissionv1.ParamRef{Name: "x"} }, "spec.paramRef"},
	{"bound in some namespaces", nil, func(b *binding) {
		b.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"guard": "on"}}}
	}, "spec.matchResources"},
	{"bound for some resources", nil, func(b *binding) {
		b.Spec.MatchResources = &admissionv1.MatchResources{ExcludeResourceRules: []admissionv1.NamedRuleWithOperations{{ResourceNames: []string{"x"}}}}
	}, "spec.matchResources"},
	{"binding going away", nil, func(b *binding) { b.DeletionTimestamp = new(metav1.NewTime(start)) }, "is being deleted"},
}

func shipped(t *testing.T) (*policy, *binding) {
	t.Helper()
	p, b, err := expected(rights.Place{}.Admission())
	if err != nil {
		t.Fatal(err)
	}
	return p, b
}

// TestTamperingIsFound: the comparison names each field that differs, and accepts what
// the API server fills in.
func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	wantPolicy, wantBinding := shipped(t)
	defaulted, _ := shipped(t)
	defaulted.Spec.MatchConstraints.NamespaceSelector = &metav1.LabelSelector{}
	defaulted.Spec.MatchConstraints.ObjectSelector = &metav1.LabelSelector{}
	defaulted.Labels, defaulted.ResourceVersion = map[string]string{"more": "labels"}, "7"
	defaulted.Status.ObservedGeneration = 1
	if wrong := policyDiffers(wantPolicy, defaulted); wrong != "" {
		t.Errorf("as the API server stores it: %s", wrong)
	}
	defaulted.Spec.FailurePolicy, defaulted.Spec.MatchConstraints.MatchPolicy = nil, nil
	if wrong := policyDiffers(wantPolicy, defaulted); wrong != "" {
		t.Errorf("with defaults left out: %s", wrong)
	}
	if wrong := bindingDiffers(wantBinding, wantBinding.DeepCopy()); wrong != "" {
		t.Errorf("the binding itself: %s", wrong)
	}
	for _, test := range tampering {
		p, b := shipped(t)
		wrong := ""
		if test.policy != nil {
			test.policy(p)
			wrong = policyDiffers(wantPolicy, p)
		} else {
			test.binding(b)
			wrong = bindingDiffers(wantBinding, b)
		}
		if !strings.Contains(wrong, test.field) || len(wrong) > 500 {
			t.Errorf("%s: %q, want %q", test.name, wrong, test.field)
		}
	}
}

var (
	policies = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"}
	bindings = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"}
)

// TestUnguarded: whatever is wrong with the policy, its binding or the reading of them,
// nobody is asked, and the answer says why and what to apply.
func TestUnguarded(t *testing.T) {
	t.Parallel()
	const apply = "apply what lanyard policy --namespace lanyard --service-account lanyard -o admission prints"
	for _, test := range []struct {
		name   string
		as     string
		change func(*world)
		says   []string
	}{
		{"weakened", user, func(w *world) {
			p, _ := shipped(w.t)
			p.Spec.FailurePolicy = new(admissionv1.Ignore)
			w.must(w.kube.Seed(p))
		}, []string{"ValidatingAdmissionPolicy lanyard-creates-no-pods spec.failurePolicy", apply}},
		{"binding weakened", user, func(w *world) {
			_, b := shipped(w.t)
			b.Spec.ValidationActions[0] = admissionv1.Audit
			w.must(w.kube.Seed(b))
		}, []string{"ValidatingAdmissionPolicyBinding lanyard-creates-no-pods spec.validationActions[0]", apply}},
		{"no policy", user, func(w *world) { w.kube.Remove(policies, "", rights.AdmissionPolicy) }, []string{"ValidatingAdmissionPolicy lanyard-creates-no-pods is not there", apply}},
		{"no binding", user, func(w *world) { w.kube.Remove(bindings, "", rights.AdmissionPolicy) }, []string{"Binding lanyard-creates-no-pods is not there", apply}},
		{"another name", user, func(w *world) {
			p, _ := shipped(w.t)
			p.Name = "other"
			w.kube.Remove(policies, "", rights.AdmissionPolicy)
			w.must(w.kube.Seed(p))
		}, []string{"is not there"}},
		{"policy unreadable", user, func(w *world) { w.kube.Inject(kubed.Fault{Resource: policies.Resource}) }, []string{"ValidatingAdmissionPolicy lanyard-creates-no-pods cannot be read", "cannot get resource", apply}},
		{"binding unreadable", user, func(w *world) { w.kube.Inject(kubed.Fault{Resource: bindings.Resource, Failure: kubed.TimedOut}) }, []string{"Binding lanyard-creates-no-pods cannot be read"}},
		{"nobody says who this is", user, func(w *world) { w.kube.Inject(kubed.Fault{Resource: "selfsubjectreviews", Failure: kubed.Broken}) }, []string{"ask the API server who lanyard is"}},
		{"a person", "kubernetes-admin:x", func(*world) {}, []string{`takes it for "kubernetes-admin:x", which is no ServiceAccount`}},
		{"another ServiceAccount", "system:serviceaccount:ops:mover", func(*world) {}, []string{"spec.matchConditions[0].expression", "--namespace ops --service-account mover"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, workloads()...)
			p := w.prober(func(o *Options) { o.Kube = w.kube.Client(test.as) })
			test.change(w)
			w.clock.Advance(time.Second)
			err := p.Guard(t.Context())
			answers, askErr := p.Ask(t.Context(), subject, live.WorkloadRef{Kind: "Deployment", Name: "deployment"})
			if !errors.Is(err, ErrUnguarded) || askErr != nil || len(answers) != 1 || answers[0].Result != migrate.AnswerUnguarded {
				t.Fatalf("guard says %v; answers %v, %v", err, answers, askErr)
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("guard says %q, want %q in it", err, part)
				}
			}
			if hold, why := (migrate.Answers{}).Add(answers).Hold(); hold != migrate.ProbeUnguarded || !strings.Contains(why, "lanyard is not kept to what it may make") {
				t.Errorf("hold %s: %s", hold, why)
			}
			if len(w.seen) != 0 {
				t.Errorf("unguarded, %d pods were asked about", len(w.seen))
			}
		})
	}
	w := newWorld(t)
	w.must(w.prober().Guard(t.Context()))
	other := w.prober(func(o *Options) { o.Kube = w.kube.Client("system:serviceaccount:ops:mover") })
	w.must(w.kube.SeedManifests(rights.Place{Namespace: "ops", ServiceAccount: "mover"}.Admission()))
	w.must(other.Guard(t.Context()))
}

// TestGuardJobs: the policy about Jobs is held against its own text, says whose it is, and
// does not depend on the other one. A parameter that is missing or another is noticed.
func TestGuardJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.kube.Remove(policies, "", rights.AdmissionPolicy)
	p := w.prober(func(o *Options) { o.Kube = w.kube.Client(user) })
	says := func(part string) {
		t.Helper()
		if _, err := p.GuardJobs(t.Context()); !errors.Is(err, ErrUnguarded) || !strings.Contains(err.Error(), part) ||
			!strings.Contains(err.Error(), "lanyard policy --mode migrate --feature identityProbe --namespace lanyard --service-account lanyard -o admission") {
			t.Errorf("guard says %v, want %q", err, part)
		}
	}
	says("ValidatingAdmissionPolicy lanyard-creates-identity-probes-only is not there")
	w.must(w.kube.SeedManifests(rights.Place{}.JobAdmission()))
	if self, err := p.GuardJobs(t.Context()); err != nil || self.String() != "lanyard/lanyard" {
		t.Fatalf("guard says %s, %v", self, err)
	}
	for field, change := range map[string]func(*policy, *binding){
		"spec.paramKind is absent":               func(p *policy, _ *binding) { p.Spec.ParamKind = nil },
		"spec.validations":                       func(p *policy, _ *binding) { p.Spec.Validations = p.Spec.Validations[:5] },
		"spec.variables[1].expression":           func(p *policy, _ *binding) { p.Spec.Variables[1].Expression = "1" },
		`spec.paramRef.name is "other"`:          func(_ *policy, b *binding) { b.Spec.ParamRef.Name = "other" },
		"spec.paramRef.parameterNotFoundAction":  func(_ *policy, b *binding) { b.Spec.ParamRef.ParameterNotFoundAction = new(admissionv1.AllowAction) },
		`spec.validationActions[0] is "Warn"`:    func(_ *policy, b *binding) { b.Spec.ValidationActions[0] = admissionv1.Warn },
		"spec.matchConditions[0].expression is ": func(p *policy, _ *binding) { p.Spec.MatchConditions[0].Expression = "false" },
	} {
		pol, bin, err := expected(rights.Place{}.JobAdmission())
		w.must(err)
		change(pol, bin)
		w.must(w.kube.Seed(pol, bin))
		says(field)
	}
}
