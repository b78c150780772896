package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/rights"
)

// ErrUnguarded means that nothing is known to keep lanyard from making real pods, or other
// Jobs than it says, so that none is asked about and none is made.
var ErrUnguarded = errors.New("lanyard is not kept to what it may make")

// ErrUnread means that it is not known either: policy or binding could not be read.
var ErrUnread = errors.New("cannot be read")

// Guard reads back the policy that refuses lanyard's user any pod that is not a dry run,
// and the binding that puts it in force, and compares both field by field with what
// internal/rights prints for the user that the API server takes this client for. What
// cannot be read, or differs in anything, is [ErrUnguarded]; the error says in what, and
// what to apply.
//
// Each API server learns of a policy by a watch of its own: read back unchanged, it may
// still be some moments from being in force. It stands from the installation on, and
// lanyard makes no pod in any case; the policy is there for what nobody thought of.
func (p *Prober) Guard(ctx context.Context) error {
	_, err := p.guard(ctx, podsGuarded)
	return err
}

// GuardJobs does the same for the policy that refuses lanyard's user any Job but those of
// identity probes, and returns that user's ServiceAccount.
func (p *Prober) GuardJobs(ctx context.Context) (identity.Subject, error) {
	return p.guard(ctx, jobsGuarded)
}

// guarded is a policy with its binding: their name, their text, and the flags by which
// lanyard policy prints it.
type guarded struct {
	name  string
	text  func(rights.Place) string
	flags string
}

var (
	podsGuarded = guarded{rights.AdmissionPolicy, rights.Place.Admission, ""}
	jobsGuarded = guarded{rights.JobPolicy, rights.Place.JobAdmission, "--mode migrate --feature " + rights.IdentityProbe + " "}
)

func (p *Prober) guard(ctx context.Context, g guarded) (self identity.Subject, err error) {
	ctx, cancel := p.call(ctx)
	defer cancel()
	review, err := p.o.Kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return self, fmt.Errorf("%w: ask the API server who lanyard is: %w", ErrUnguarded, err)
	}
	user := review.Status.UserInfo.Username
	self, ok := identity.ParseOIDCSubject(user)
	if !ok {
		return self, fmt.Errorf("%w: the API server takes it for %q, which is no ServiceAccount: run it as the one that it is installed with", ErrUnguarded, text(user))
	}
	return self, g.stands(ctx, p.o.Kube, self)
}

// Guarded is [Prober.Guard] about the ServiceAccount that lanyard runs as, whoever asks,
// and JobsGuarded is [Prober.GuardJobs].
func Guarded(ctx context.Context, kube kubernetes.Interface, self identity.Subject) error {
	return podsGuarded.stands(ctx, kube, self)
}

// JobsGuarded: see [Guarded].
func JobsGuarded(ctx context.Context, kube kubernetes.Interface, self identity.Subject) error {
	return jobsGuarded.stands(ctx, kube, self)
}

// stands reports whether policy and binding are there for a ServiceAccount, unchanged.
func (g guarded) stands(ctx context.Context, kube kubernetes.Interface, self identity.Subject) error {
	place := rights.Place{Namespace: self.Namespace, ServiceAccount: self.ServiceAccount}
	policy, binding, err := expected(g.text(place))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnguarded, err)
	}
	api := kube.AdmissionregistrationV1()
	gotPolicy, err := api.ValidatingAdmissionPolicies().Get(ctx, g.name, metav1.GetOptions{})
	if err != nil {
		return g.unguarded("ValidatingAdmissionPolicy", unread(err), place)
	}
	gotBinding, err := api.ValidatingAdmissionPolicyBindings().Get(ctx, g.name, metav1.GetOptions{})
	if err != nil {
		return g.unguarded("ValidatingAdmissionPolicyBinding", unread(err), place)
	}
	if wrong := policyDiffers(policy, gotPolicy); wrong != "" {
		return g.unguarded("ValidatingAdmissionPolicy", errors.New(wrong), place)
	}
	if wrong := bindingDiffers(binding, gotBinding); wrong != "" {
		return g.unguarded("ValidatingAdmissionPolicyBinding", errors.New(wrong), place)
	}
	return nil
}

func (g guarded) unguarded(kind string, wrong error, p rights.Place) error {
	return fmt.Errorf("%w: %s %s %w: apply what lanyard policy %s--namespace %s --service-account %s -o admission prints",
		ErrUnguarded, kind, g.name, wrong, g.flags, p.Namespace, p.ServiceAccount)
}

// unreadError is [ErrUnread] in few words; the API server's error is below.
type unreadError struct{ err error }

func (e *unreadError) Error() string        { return ErrUnread.Error() + ": " + words(e.err) }
func (e *unreadError) Is(target error) bool { return target == ErrUnread }
func (e *unreadError) Unwrap() error        { return e.err }

func unread(err error) error {
	if apierrors.IsNotFound(err) {
		return errors.New("is not there")
	}
	return &unreadError{err}
}

// expected are policy and binding as internal/rights prints them.
func expected(text string) (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding, error) {
	first, second, _ := strings.Cut(text, "\n---\n")
	policy, binding := &admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}
	return policy, binding, errors.Join(yaml.UnmarshalStrict([]byte(first), policy), yaml.UnmarshalStrict([]byte(second), binding))
}

// policyDiffers and bindingDiffers say in one line how what was read differs from what is
// wanted, or nothing. Names are those that were asked for. Labels, annotations and status
// change nothing about what is refused.

func policyDiffers(want, got *admissionv1.ValidatingAdmissionPolicy) string {
	if got.DeletionTimestamp != nil {
		return "is being deleted"
	}
	return differs(policyDefaults(want.Spec), policyDefaults(got.Spec))
}

func bindingDiffers(want, got *admissionv1.ValidatingAdmissionPolicyBinding) string {
	if got.DeletionTimestamp != nil {
		return "is being deleted"
	}
	return differs(want.Spec, got.Spec)
}

// policyDefaults fills in what the API server does, and leaves the given one alone.
// Source: https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/validating-admission-policy-v1/
func policyDefaults(given admissionv1.ValidatingAdmissionPolicySpec) admissionv1.ValidatingAdmissionPolicySpec {
	spec := *given.DeepCopy()
	if spec.FailurePolicy == nil {
		fail := admissionv1.Fail
		spec.FailurePolicy = &fail
	}
	if spec.MatchConstraints == nil {
		return spec
	}
	if spec.MatchConstraints.MatchPolicy == nil {
		equivalent := admissionv1.Equivalent
		spec.MatchConstraints.MatchPolicy = &equivalent
	}
	for _, rules := range [][]admissionv1.NamedRuleWithOperations{spec.MatchConstraints.ResourceRules, spec.MatchConstraints.ExcludeResourceRules} {
		for i := range rules {
			if rules[i].Scope == nil {
				all := admissionv1.AllScopes
				rules[i].Scope = &all
			}
		}
	}
	return spec
}

// differs compares two specs by their JSON, so that a field that nobody thought of here
// counts as well. What is empty counts as absent: an empty selector selects everything,
// as none does.
func differs(want, got any) string {
	w, errWant := plain(want)
	g, errGot := plain(got)
	if err := errors.Join(errWant, errGot); err != nil {
		return "cannot be compared: " + text(err.Error())
	}
	wrong := compare("spec", w, g)
	if more := len(wrong) - 3; more > 0 {
		wrong = append(wrong[:3], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(wrong, "; ")
}

func plain(spec any) (any, error) {
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var out any
	err = d.Decode(&out)
	return pruned(out), err
}

// pruned drops what is empty, from within outward.
func pruned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if v[key] = pruned(value); v[key] == nil {
				delete(v, key)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = pruned(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	case string:
		if v == "" {
			return nil
		}
	}
	return v
}

// compare returns the differences, each as `spec.failurePolicy is "Ignore" and must be "Fail"`.
func compare(path string, want, got any) (out []string) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		keys := maps.Clone(w)
		maps.Copy(keys, g)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			out = append(out, compare(path+"."+key, w[key], g[key])...)
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			out = append(out, compare(path+"["+strconv.Itoa(i)+"]", w[i], g[i])...)
		}
		return out
	default:
		if want == got {
			return nil
		}
	}
	return []string{path + " is " + short(got) + " and must be " + short(want)}
}

// short is a value as JSON, cut to what is told of it.
func short(v any) string {
	if v == nil {
		return "absent"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	s := text(string(data))
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}
