package rights

import "strings"

// JobPolicy is the name of the ValidatingAdmissionPolicy that narrows lanyard's right to
// create Jobs to its identity probes, and of its binding.
const JobPolicy = "lanyard-creates-identity-probes-only"

// Deployment is lanyard's own, and the name of its container there. Its image is the one
// that identity probes run: the policy takes it from there, and so does lanyard.
const Deployment = "lanyard"

// jobAdmission refuses lanyard's user any Job that is not an identity probe.
//
// The whole pod and its container are compared, not fields that are known to do harm: a
// field that a later Kubernetes has is refused too. What the API server fills in is part of
// that. dyn() is what compares an object as the map that it is; the values of a map literal
// must be of one type, which dyn() makes them.
// Sources: https://kubernetes.io/docs/reference/using-api/cel/ and
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#parameter-resources
const jobAdmission = `# lanyard creates no Job but its identity probes (features.identityProbe): its own image, as
# Deployment DEPLOYMENT has it, runs lanyard whoami and nothing else. RBAC cannot tell one Job
# from another: this does. lanyard reads it back before it creates one.
# https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: NAME
  labels:
    app.kubernetes.io/name: lanyard
spec:
  failurePolicy: Fail
  paramKind:
    apiVersion: apps/v1
    kind: Deployment
  matchConstraints:
    matchPolicy: Equivalent
    resourceRules:
      - apiGroups: [batch]
        apiVersions: ["*"]
        operations: [CREATE]
        resources: [jobs]
        scope: Namespaced
  matchConditions:
    - name: lanyard
      expression: request.userInfo.username == "system:serviceaccount:NAMESPACE:ACCOUNT"
  variables:
    - name: pod
      expression: dyn(object.spec.template.spec)
    - name: container
      expression: dyn(object.spec.template.spec.containers[0])
  validations:
    - expression: object.metadata.name.matches("^lanyard-whoami-[0-9a-f]{16}$")
      message: lanyard may create Jobs of its identity probe only, by its name
      reason: Forbidden
    - expression: >-
        dyn(object.metadata.labels) == {"lanyard.io/identity-probe": "whoami"}
        && !has(object.metadata.annotations) && !has(object.metadata.finalizers) && !has(object.metadata.ownerReferences)
        && dyn(object.spec.template.metadata).all(k, k in ["labels", "creationTimestamp"])
        && object.spec.template.metadata.labels["lanyard.io/identity-probe"] == "whoami"
        && object.spec.template.metadata.labels.all(k, k in ["lanyard.io/identity-probe", "job-name", "controller-uid",
        "batch.kubernetes.io/job-name", "batch.kubernetes.io/controller-uid"])
      message: the Job of an identity probe and its pod have one label and no other metadata
      reason: Forbidden
    - expression: >-
        object.spec.parallelism == 1 && object.spec.completions == 1 && object.spec.backoffLimit == 0
        && has(object.spec.activeDeadlineSeconds) && object.spec.activeDeadlineSeconds == 300
        && has(object.spec.ttlSecondsAfterFinished) && object.spec.ttlSecondsAfterFinished == 300
        && dyn(object.spec).all(k, k in ["activeDeadlineSeconds", "backoffLimit", "completionMode", "completions", "manualSelector",
        "parallelism", "podReplacementPolicy", "selector", "suspend", "template", "ttlSecondsAfterFinished"])
        && (!has(object.spec.manualSelector) || !object.spec.manualSelector)
        && (!has(object.spec.completionMode) || object.spec.completionMode == "NonIndexed")
        && (!has(object.spec.suspend) || !object.spec.suspend)
      message: the Job of an identity probe runs one pod, once, for five minutes at most, and is gone five minutes later
      reason: Forbidden
    - expression: >-
        variables.pod == {"serviceAccountName": dyn(variables.pod.serviceAccountName), "serviceAccount": dyn(variables.pod.serviceAccountName),
        "containers": dyn([variables.container]), "restartPolicy": dyn("Never"), "terminationGracePeriodSeconds": dyn(0),
        "automountServiceAccountToken": dyn(false), "enableServiceLinks": dyn(false), "dnsPolicy": dyn("ClusterFirst"),
        "schedulerName": dyn("default-scheduler"), "nodeSelector": dyn({"kubernetes.io/os": "linux"}),
        "securityContext": dyn({"runAsNonRoot": dyn(true), "runAsUser": dyn(65532), "runAsGroup": dyn(65532), "fsGroup": dyn(65532),
        "seccompProfile": dyn({"type": "RuntimeDefault"})})}
      message: the pod of an identity probe has one container, no volume, no token of the API server and no right on its node
      reason: Forbidden
    - expression: >-
        variables.container == {"name": dyn("whoami"), "image": dyn(variables.container.image),
        "imagePullPolicy": dyn(variables.container.imagePullPolicy),
        "args": dyn(["whoami", "-o", "json", "--timeout", "30s", "--to", "/dev/termination-log"]),
        "terminationMessagePath": dyn("/dev/termination-log"), "terminationMessagePolicy": dyn("File"),
        "resources": dyn({"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}),
        "securityContext": dyn({"allowPrivilegeEscalation": dyn(false), "readOnlyRootFilesystem": dyn(true), "capabilities": dyn({"drop": ["ALL"]})})}
      message: the container of an identity probe runs lanyard whoami and nothing else, unprivileged and within its limits
      reason: Forbidden
    - expression: params.spec.template.spec.containers.exists(c, c.name == "DEPLOYMENT" && c.image == object.spec.template.spec.containers[0].image)
      message: an identity probe runs the image of Deployment NAMESPACE/DEPLOYMENT
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
  paramRef:
    name: DEPLOYMENT
    namespace: NAMESPACE
    parameterNotFoundAction: Deny
  validationActions: [Deny]
`

// JobAdmission returns the ValidatingAdmissionPolicy of feature identityProbe for a place,
// and its binding, as YAML.
func (p Place) JobAdmission() string {
	p = p.withDefaults()
	return strings.NewReplacer("NAMESPACE", p.Namespace, "NAME", JobPolicy, "ACCOUNT", p.ServiceAccount, "DEPLOYMENT", Deployment).Replace(jobAdmission)
}

// Probes returns the rules of feature identityProbe in mode migrate. The rest of what it
// asks is mode migrate's already: whom the API server takes lanyard for, Jobs and pods, and
// Deployments, of which lanyard's own names the image.
func Probes() []Rule {
	return []Rule{
		{Group: "batch", Resources: []string{"jobs"}, Verbs: []string{"create", "delete"}, Why: "identity probes, one at a time. RBAC cannot bind the right to those: ValidatingAdmissionPolicy " + JobPolicy + " does. Others' Jobs are never deleted: lanyard goes by name, label and uid"},
		{Group: "admissionregistration.k8s.io", Resources: []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"}, Names: []string{JobPolicy}, Verbs: []string{"get"}, Why: "whether that policy stands unchanged: without it no Job is created"},
	}
}
