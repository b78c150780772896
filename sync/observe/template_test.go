package observe

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/lanyard-io/lanyard/sync/live"
)

func envs(pairs ...string) []corev1.EnvVar {
	var out []corev1.EnvVar
	for i := 0; i < len(pairs); i += 2 {
		v := corev1.EnvVar{Name: pairs[i], Value: pairs[i+1]}
		if pairs[i+1] == "(reference)" {
			v.Value, v.ValueFrom = "", &corev1.EnvVarSource{}
		}
		out = append(out, v)
	}
	return out
}

// TestTemplateFacts: what a pod template says beyond its labels; of the environment
// names only, and no value of a proxy.
func TestTemplateFacts(t *testing.T) {
	t.Parallel()
	three, half := intstr.FromInt32(3), intstr.FromString("50%")
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"}, Spec: appsv1.StatefulSetSpec{
		UpdateStrategy:       appsv1.StatefulSetUpdateStrategy{Type: "RollingUpdate", RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{MaxUnavailable: &three}},
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}},
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			HostNetwork: true,
			Tolerations: []corev1.Toleration{{Key: "gpu", Operator: "Equal", Value: "yes", Effect: "NoSchedule"}},
			Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
				PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{}},
				RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: "In", Values: []string{"a"}}},
					MatchFields:      []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: "NotIn", Values: []string{"n"}}}}}}}},
			InitContainers: []corev1.Container{{Name: "init", Image: "busybox:1", VolumeMounts: []corev1.VolumeMount{{Name: "aws", MountPath: "/root/.aws/"}}}},
			Containers: []corev1.Container{{Name: "web", Image: "web:1", Env: envs("HTTP_PROXY", "http://user:password@proxy:3128", "AWS_ROLE_SESSION_NAME", "web",
				"AWS_SECRET_ACCESS_KEY", "(reference)", "AWS_ACCESS_KEY_ID", "", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "", "AWS_REGION", "eu-west-1", "AWS_PROFILE", "p")}},
			Volumes: []corev1.Volume{
				{Name: "secrets", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets-store.csi.k8s.io", VolumeAttributes: map[string]string{"secretProviderClass": "db"}}}},
				{Name: "other", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "other", VolumeAttributes: map[string]string{"secretProviderClass": "x"}}}},
				{Name: "shared", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "shared"}}},
			},
		}}}}
	want := live.Workload{Namespace: "demo", Kind: "StatefulSet", Name: "web", ServiceAccount: "default", Replicas: 1, Rolling: true, HostNetwork: true,
		Tolerations:  []live.Toleration{{Key: "gpu", Operator: "Equal", Value: "yes", Effect: "NoSchedule"}},
		NodeAffinity: []live.NodeTerm{{Labels: []live.Requirement{{Key: "zone", Operator: "In", Values: []string{"a"}}}, Fields: []live.Requirement{{Key: "metadata.name", Operator: "NotIn", Values: []string{"n"}}}}},
		Strategy:     live.Strategy{Type: "RollingUpdate", MaxUnavailable: "3"},
		Containers: []live.Template{{Name: "init", Init: true, Image: "busybox:1", Profile: true},
			{Name: "web", Image: "web:1", Variables: []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_PROFILE", "AWS_ROLE_SESSION_NAME", "AWS_SECRET_ACCESS_KEY"}, Proxy: live.ProxyUnexempted}},
		SecretClasses: []string{"db"}, Claims: []string{"shared", "data-web-*"}}
	if diff := cmp.Diff(want, statefulSetFacts(set)); diff != "" {
		t.Errorf("StatefulSet (-want +got)\n%s", diff)
	}
	d := deploymentFacts(&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Strategy: appsv1.DeploymentStrategy{Type: "RollingUpdate", RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &half, MaxSurge: &three}}}})
	if want := (live.Strategy{Type: "RollingUpdate", MaxUnavailable: "50%", MaxSurge: "3"}); d.Strategy != want {
		t.Errorf("Deployment: %+v, want %+v", d.Strategy, want)
	}
	if s := deploymentFacts(&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Strategy: appsv1.DeploymentStrategy{Type: "Recreate"}}}).Strategy; s.Type != "Recreate" {
		t.Errorf("Recreate: %+v", s)
	}
	ds := daemonSetFacts(&appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: "RollingUpdate", RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &half}}}})
	if ds.Strategy.MaxUnavailable != "50%" {
		t.Errorf("DaemonSet: %+v", ds.Strategy)
	}
}

// TestProxy: whether calls to the agent would go to a proxy.
func TestProxy(t *testing.T) {
	t.Parallel()
	const both = "localhost,169.254.170.23,[fd00:ec2::23]"
	for _, tt := range []struct {
		env  []string
		want live.Proxy
	}{
		{nil, live.ProxyNone},
		{[]string{"NO_PROXY", ""}, live.ProxyNone},
		{[]string{"HTTP_PROXY", ""}, live.ProxyNone},
		{[]string{"HTTPS_PROXY", "http://p"}, live.ProxyNone}, // the agent is asked by plain HTTP
		{[]string{"HTTP_PROXY", "http://p"}, live.ProxyUnexempted},
		{[]string{"http_proxy", "http://p", "NO_PROXY", both}, live.ProxyExempt},
		{[]string{"HTTP_PROXY", "http://p", "no_proxy", " 169.254.0.0/16 , fd00:ec2::/32"}, live.ProxyExempt},
		{[]string{"HTTP_PROXY", "http://p", "NO_PROXY", "*"}, live.ProxyExempt},
		{[]string{"HTTP_PROXY", "http://p", "NO_PROXY", "169.254.170.23:80,fd00:ec2::23"}, live.ProxyExempt},
		{[]string{"HTTP_PROXY", "http://p", "NO_PROXY", "169.254.170.23"}, live.ProxyUnexempted},
		{[]string{"HTTP_PROXY", "http://p", "NO_PROXY", "169.254.169.254,fd00:ec2::23"}, live.ProxyUnexempted},
		{[]string{"HTTP_PROXY", "http://p", "NO_PROXY", "(reference)"}, live.ProxyUnseen},
		{[]string{"HTTP_PROXY", "(reference)"}, live.ProxyUnseen},
		{[]string{"HTTP_PROXY", "(reference)", "NO_PROXY", both}, live.ProxyExempt},
	} {
		if got := proxy(environment(envs(tt.env...))); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.env, got, tt.want)
		}
	}
}

// TestTokenConflict: a volume of the token's name, or anything where it is mounted.
func TestTokenConflict(t *testing.T) {
	t.Parallel()
	mount := func(name, path string) []corev1.Container {
		return []corev1.Container{{Name: "c", VolumeMounts: []corev1.VolumeMount{{Name: name, MountPath: path}}}}
	}
	for want, spec := range map[string]corev1.PodSpec{
		"": {Volumes: []corev1.Volume{{Name: "aws-iam-token"}}, Containers: mount("data", "/var/run/secrets")},
		"its template has a volume named eks-pod-identity-token":                                                         {Volumes: []corev1.Volume{{Name: "eks-pod-identity-token"}}},
		"container c mounts volume eks-pod-identity-token at /token":                                                     {Containers: mount("eks-pod-identity-token", "/token")},
		"container c mounts volume own at /var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token": {Containers: mount("own", agentMount+"/eks-pod-identity-token")},
		"container c mounts volume own at /var/run/secrets/pods.eks.amazonaws.com/serviceaccount":                        {InitContainers: mount("own", "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/")},
	} {
		if got := tokenConflict(&spec); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestNetworkPolicies: which policies bound egress, and which of those let the agent's
// address through.
func TestNetworkPolicies(t *testing.T) {
	t.Parallel()
	tcp, udp := corev1.ProtocolTCP, corev1.ProtocolUDP
	port := func(n int32) *intstr.IntOrString { p := intstr.FromInt32(n); return &p }
	name, end := intstr.FromString("http"), int32(90)
	block := func(cidr string, except ...string) []networkingv1.NetworkPolicyPeer {
		return []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}, {IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}}
	}
	for _, tt := range []struct {
		what string
		rule networkingv1.NetworkPolicyEgressRule
		want bool
	}{
		{"everything", networkingv1.NetworkPolicyEgressRule{}, true},
		{"every address", networkingv1.NetworkPolicyEgressRule{To: block("0.0.0.0/0")}, true},
		{"the agent", networkingv1.NetworkPolicyEgressRule{To: block("169.254.170.23/32"), Ports: []networkingv1.NetworkPolicyPort{{Port: port(80), Protocol: &tcp}}}, true},
		{"the agent on IPv6", networkingv1.NetworkPolicyEgressRule{To: block("fd00:ec2::23/128")}, true},
		{"all but link-local", networkingv1.NetworkPolicyEgressRule{To: block("0.0.0.0/0", "169.254.0.0/16")}, false},
		{"pods only", networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}}}, false},
		{"another port", networkingv1.NetworkPolicyEgressRule{Ports: []networkingv1.NetworkPolicyPort{{Port: port(443)}}}, false},
		{"UDP", networkingv1.NetworkPolicyEgressRule{Ports: []networkingv1.NetworkPolicyPort{{Port: port(80), Protocol: &udp}}}, false},
		{"a named port", networkingv1.NetworkPolicyEgressRule{Ports: []networkingv1.NetworkPolicyPort{{Port: &name}}}, false},
		{"every port", networkingv1.NetworkPolicyEgressRule{Ports: []networkingv1.NetworkPolicyPort{{}}}, true},
		{"a range of ports", networkingv1.NetworkPolicyEgressRule{Ports: []networkingv1.NetworkPolicyPort{{Port: port(70), EndPort: &end}}}, true},
		{"no network at all", networkingv1.NetworkPolicyEgressRule{To: block("nonsense")}, false},
	} {
		p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "p"}, Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{"Ingress", "Egress"}, Egress: []networkingv1.NetworkPolicyEgressRule{tt.rule}}}
		if got := policyFacts(p); got.Name != "p" || got.AdmitsAgent != tt.want {
			t.Errorf("%s: %+v, want the agent admitted: %t", tt.what, got, tt.want)
		}
	}
	for what, spec := range map[string]networkingv1.NetworkPolicySpec{
		"no types": {}, "ingress": {PolicyTypes: []networkingv1.PolicyType{"Ingress"}},
	} {
		if got := policyFacts(&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: spec}); got.Name != "" {
			t.Errorf("%s: %+v, want nothing", what, got)
		}
	}
}

// TestSurroundingsOfWorkloads: budgets, policies, and what nodes say, through informers.
func TestSurroundingsOfWorkloads(t *testing.T) {
	t.Parallel()
	w := newWorld(t,
		&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"}, Status: policyv1.PodDisruptionBudgetStatus{ExpectedPods: 2},
			Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}, MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "c", Operator: "Exists"}}}}},
		&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "of-nothing"}},
		&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "deny"}, Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{"Egress"}}},
		&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "in"}, Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{"Ingress"}}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"eks.amazonaws.com/nodegroup": "general"}}, Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "b", Effect: "NoExecute"}, {Key: "a", Value: "v", Effect: "NoSchedule"}}}},
	)
	s := w.observe(w.observer())
	f := s.Facts()
	wantNoGaps(t, s)
	if diff := cmp.Diff([]live.Budget{{Namespace: "demo", Name: "web", Expected: 2, Selector: live.Selector{Labels: map[string]string{"a": "b"}, Requirements: []live.Requirement{{Key: "c", Operator: "Exists"}}}}}, f.Budgets); diff != "" {
		t.Errorf("budgets (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]live.NetworkPolicy{{Namespace: "demo", Name: "deny"}}, f.NetworkPolicies); diff != "" {
		t.Errorf("policies (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]live.Taint{{Key: "a", Value: "v", Effect: "NoSchedule"}, {Key: "b", Effect: "NoExecute"}}, f.Nodes[0].Taints); diff != "" || f.Nodes[0].Labels["eks.amazonaws.com/nodegroup"] != "general" {
		t.Errorf("node %+v (-want +got)\n%s", f.Nodes[0], diff)
	}
	if diff := cmp.Diff([]live.NodeGroup{{Name: "general", Described: true}}, f.NodeGroups); diff != "" {
		t.Errorf("a node group that EKS does not know any more (-want +got)\n%s", diff)
	}
}

// TestRollouts: a rollout is under way until the newest template was seen and all pods
// have it; where only people delete pods, none ever is.
func TestRollouts(t *testing.T) {
	deployment := func(seen int64, updated, all int32) bool {
		return deploymentFacts(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: appsv1.DeploymentSpec{Replicas: new(int32(3))},
			Status: appsv1.DeploymentStatus{ObservedGeneration: seen, UpdatedReplicas: updated, Replicas: all}}).Rolling
	}
	set := func(how appsv1.StatefulSetUpdateStrategyType, seen int64, updated int32) bool {
		return statefulSetFacts(&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: appsv1.StatefulSetSpec{Replicas: new(int32(3)), UpdateStrategy: appsv1.StatefulSetUpdateStrategy{Type: how}},
			Status: appsv1.StatefulSetStatus{ObservedGeneration: seen, UpdatedReplicas: updated}}).Rolling
	}
	daemon := func(how appsv1.DaemonSetUpdateStrategyType, seen int64, updated int32) bool {
		return daemonSetFacts(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: appsv1.DaemonSetSpec{UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: how}},
			Status: appsv1.DaemonSetStatus{ObservedGeneration: seen, DesiredNumberScheduled: 3, UpdatedNumberScheduled: updated}}).Rolling
	}
	for name, test := range map[string]struct{ got, want bool }{
		"a Deployment at rest":            {deployment(2, 3, 3), false},
		"its template was not seen":       {deployment(1, 3, 3), true},
		"pods are missing":                {deployment(2, 2, 2), true},
		"old pods are left":               {deployment(2, 3, 4), true},
		"a StatefulSet at rest":           {set("RollingUpdate", 2, 3), false},
		"its pods are old":                {set("RollingUpdate", 2, 1), true},
		"its template too":                {set("", 1, 3), true},
		"and nobody replaces them":        {set("OnDelete", 1, 0), false},
		"a DaemonSet at rest":             {daemon("RollingUpdate", 2, 3), false},
		"a node lacks the new pod":        {daemon("RollingUpdate", 2, 2), true},
		"its template is new":             {daemon("", 1, 3), true},
		"and only people delete its pods": {daemon("OnDelete", 1, 0), false},
	} {
		if test.got != test.want {
			t.Errorf("%s: rolling is %t, want %t", name, test.got, test.want)
		}
	}
}
