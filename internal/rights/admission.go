package rights

import "strings"

// AdmissionPolicy is the name of the ValidatingAdmissionPolicy, and of its binding.
const AdmissionPolicy = "lanyard-creates-no-pods"

// admission is the policy that refuses lanyard's user any pod that is not a dry run. RBAC
// does not know of dry runs.
//
// An expression that fails counts as a refusal (failurePolicy Fail), and a match condition
// that fails too. request.dryRun is absent where it is not asked for.
// Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
const admission = `# lanyard never creates a pod. Its admission probe (mode migrate) asks with a dry run, and
# RBAC cannot tell one from the other: this does. lanyard reads it back before it asks.
# https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: NAME
  labels:
    app.kubernetes.io/name: lanyard
spec:
  failurePolicy: Fail
  matchConstraints:
    matchPolicy: Equivalent
    resourceRules:
      - apiGroups: [""]
        apiVersions: ["*"]
        operations: [CREATE]
        resources: [pods]
        scope: Namespaced
  matchConditions:
    - name: lanyard
      expression: request.userInfo.username == "system:serviceaccount:NAMESPACE:ACCOUNT"
  validations:
    - expression: has(request.dryRun) && request.dryRun
      message: lanyard may create pods as a dry run only
      reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: NAME
  labels:
    app.kubernetes.io/name: lanyard
spec:
  policyName: NAME
  validationActions: [Deny]
`

// Admission returns the ValidatingAdmissionPolicy for a place, and its binding, as YAML.
func (p Place) Admission() string {
	p = p.withDefaults()
	return strings.NewReplacer("NAMESPACE", p.Namespace, "NAME", AdmissionPolicy, "ACCOUNT", p.ServiceAccount).Replace(admission)
}

// Admission returns the ValidatingAdmissionPolicies and their bindings as YAML. The first
// is the same in every mode: it costs nothing where no probe asks.
func (w Wants) Admission() string {
	if w.has(IdentityProbe) {
		return w.Place.Admission() + "---\n" + w.Place.JobAdmission()
	}
	return w.Place.Admission()
}

// Probe returns the rules of the admission probe: what it reads, and the one right to
// create that it has, which the policy narrows to dry runs.
func Probe() []Rule {
	return []Rule{
		{Resources: []string{"pods"}, Verbs: []string{"create"}, Why: "what a new pod would be given, asked as a dry run. RBAC cannot bind the right to that: ValidatingAdmissionPolicy " + AdmissionPolicy + " does"},
		{Group: "apps", Resources: []string{"daemonsets", "deployments", "replicasets", "statefulsets"}, Verbs: []string{"get"}, Why: "whose own template is asked about"},
		{Group: "batch", Resources: []string{"cronjobs", "jobs"}, Verbs: []string{"get"}, Why: "as above"},
		{Group: "argoproj.io", Resources: []string{"rollouts"}, Verbs: []string{"get"}, Why: "as above, where the cluster has Argo Rollouts"},
		{Group: "discovery.k8s.io", Resources: []string{"endpointslices"}, Names: []string{"kubernetes"}, Verbs: []string{"get"}, Why: "the addresses of the API servers: each is asked, over a connection of its own"},
		{Group: "admissionregistration.k8s.io", Resources: []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"}, Names: []string{AdmissionPolicy}, Verbs: []string{"get"}, Why: "whether that policy stands unchanged: without it nobody is asked"},
		{Group: "authentication.k8s.io", Resources: []string{"selfsubjectreviews"}, Verbs: []string{"create"}, Why: "whom the API server takes lanyard for, whom that policy must name"},
	}
}
