package observe

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// TestPausedRollouts: who waits for somebody is told apart from who is in the middle of a
// rollout, by kind; what lanyard stopped is both.
func TestPausedRollouts(t *testing.T) {
	t.Parallel()
	marked := metav1.ObjectMeta{Name: "web", Annotations: map[string]string{live.RolloutPausedMark: "ours"}}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{live.RestartedAtAnnotation: "then"}}}
	deployment := func(m metav1.ObjectMeta, paused bool, updated int32) live.Workload {
		return deploymentFacts(&appsv1.Deployment{ObjectMeta: m, Spec: appsv1.DeploymentSpec{Replicas: new(int32(3)), Paused: paused, Template: template},
			Status: appsv1.DeploymentStatus{UpdatedReplicas: updated, Replicas: 3}})
	}
	set := func(m metav1.ObjectMeta, how appsv1.StatefulSetUpdateStrategyType, partition, replicas, updated int32) live.Workload {
		return statefulSetFacts(&appsv1.StatefulSet{ObjectMeta: m, Spec: appsv1.StatefulSetSpec{Replicas: &replicas, Template: template,
			UpdateStrategy: appsv1.StatefulSetUpdateStrategy{Type: how, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &partition}}},
			Status: appsv1.StatefulSetStatus{UpdatedReplicas: updated}})
	}
	daemon := func(m metav1.ObjectMeta, how appsv1.DaemonSetUpdateStrategyType, updated int32) live.Workload {
		return daemonSetFacts(&appsv1.DaemonSet{ObjectMeta: m, Spec: appsv1.DaemonSetSpec{Template: template, UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: how}},
			Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 3, UpdatedNumberScheduled: updated}})
	}
	plain := metav1.ObjectMeta{Name: "web"}
	for name, tt := range map[string]struct {
		got                live.Workload
		suspended, rolling bool
	}{
		"a Deployment":                              {deployment(plain, false, 3), false, false},
		"paused at rest":                            {deployment(plain, true, 3), true, false},
		"paused in the middle":                      {deployment(plain, true, 1), true, true},
		"by lanyard":                                {deployment(marked, true, 1), true, true},
		"a StatefulSet":                             {set(plain, "RollingUpdate", 0, 3, 1), false, true},
		"below a partition pods stay old":           {set(plain, "RollingUpdate", 2, 3, 1), false, false},
		"and above it they do not":                  {set(plain, "RollingUpdate", 1, 3, 1), false, true},
		"a partition above all":                     {set(plain, "RollingUpdate", 5, 3, 0), true, false},
		"lanyard's partition":                       {set(marked, "RollingUpdate", 3, 3, 1), true, true},
		"lanyard's partition, and all pods are new": {set(marked, "RollingUpdate", 3, 3, 3), true, false},
		"OnDelete":                                  {set(plain, "OnDelete", 0, 3, 1), true, false},
		"no replicas":                               {set(plain, "RollingUpdate", 0, 0, 0), false, false},
		"a DaemonSet":                               {daemon(plain, "RollingUpdate", 1), false, true},
		"a DaemonSet with OnDelete":                 {daemon(plain, "OnDelete", 1), true, false},
		"lanyard's OnDelete":                        {daemon(marked, "OnDelete", 1), true, true},
		"lanyard's OnDelete, and all pods are new":  {daemon(marked, "OnDelete", 3), true, false},
	} {
		paused := ""
		if strings.Contains(name, "lanyard") {
			paused = "ours"
		}
		if w := tt.got; w.Suspended != tt.suspended || w.Rolling != tt.rolling || w.RestartedAt != "then" || w.PausedBy != paused {
			t.Errorf("%s: suspended %t, rolling %t, restarted %q, paused by %q; want %t, %t, then, %q", name, w.Suspended, w.Rolling, w.RestartedAt, w.PausedBy, tt.suspended, tt.rolling, paused)
		}
	}
}

// rollout is a Rollout as the API server writes it.
func rollout(namespace, name, annotations, spec, status string) string {
	return `{"metadata":{"namespace":"` + namespace + `","name":"` + name + `","uid":"r","generation":4,"annotations":{` + annotations + `}},"spec":{` + spec + `},"status":{` + status + `}}`
}

const updated = `"observedGeneration":"4","replicas":3,"updatedReplicas":3`

// TestRolloutFacts: what Argo's own object says of a rollout.
func TestRolloutFacts(t *testing.T) {
	t.Parallel()
	const at, mark = `"restartAt":"2026-11-23T08:59:00Z"`, `"lanyard.io/rollout-paused":"ours"`
	for name, tt := range map[string]struct {
		annotations, spec, status string
		want                      live.Workload
	}{
		"at rest":                   {"", `"replicas":3`, updated, live.Workload{}},
		"its template was not seen": {"", `"replicas":3`, `"observedGeneration":"3","replicas":3,"updatedReplicas":3`, live.Workload{Rolling: true}},
		"a hash for a generation":   {"", `"replicas":3`, `"observedGeneration":"7c8f","replicas":3,"updatedReplicas":3`, live.Workload{}},
		"in the middle":             {"", `"replicas":3`, `"observedGeneration":"4","replicas":3,"updatedReplicas":1`, live.Workload{Rolling: true}},
		"and aborted":               {"", `"replicas":3`, `"observedGeneration":"4","replicas":3,"updatedReplicas":0,"abort":true`, live.Workload{}},
		"one replica by default":    {"", ``, `"observedGeneration":"4","replicas":1,"updatedReplicas":1`, live.Workload{}},
		"paused":                    {"", `"replicas":3,"paused":true`, updated, live.Workload{Suspended: true}},
		"restarting":                {"", `"replicas":3,` + at, updated, live.Workload{Rolling: true, RestartedAt: "2026-11-23T08:59:00Z"}},
		"restarted":                 {"", `"replicas":3,` + at, updated + `,"restartedAt":"2026-11-23T08:59:00Z"`, live.Workload{RestartedAt: "2026-11-23T08:59:00Z"}},
		"to be restarted":           {"", `"replicas":3,"restartAt":"2026-11-24T00:00:00Z"`, updated, live.Workload{RestartedAt: "2026-11-24T00:00:00Z"}},
		"stopped by lanyard":        {mark, `"replicas":3,"paused":true`, updated, live.Workload{Suspended: true, Rolling: true, PausedBy: "ours"}},
	} {
		w := newWorld(t)
		o := New(w.options())
		o.opts.Kube = newServed(t, w, map[string]string{"/apis/argoproj.io/v1alpha1/rollouts": items(rollout("demo", "web", tt.annotations, tt.spec, tt.status))})
		list := []live.Workload{{Namespace: "demo", Kind: "Rollout", Name: "web"}}
		g := &gaps{}
		o.rollouts(t.Context(), list, nil, w.clock.Now(), g)
		tt.want.Namespace, tt.want.Kind, tt.want.Name = "demo", "Rollout", "web"
		if d := cmp.Diff(tt.want, list[0]); d != "" || len(g.list) > 0 {
			t.Errorf("%s: gaps %v (-want +got)\n%s", name, g.list, d)
		}
	}
}

// ofRollout is a ReplicaSet of an Argo Rollout.
func ofRollout(namespace, name, account string) *appsv1.ReplicaSet {
	yes := true
	return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-1",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: name, UID: "r", Controller: &yes}}},
		Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(3)), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{ServiceAccountName: account}}}}
}

// TestRolloutsAreRead: where ReplicaSets are of a Rollout, by every kind of look, and
// nowhere else.
func TestRolloutsAreRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, append(fleet(), ofRollout("demo", "canary", "s3-reader"), ofRollout("web", "green", "web"))...)
	const all, demo, green = "/apis/argoproj.io/v1alpha1/rollouts", "/apis/argoproj.io/v1alpha1/namespaces/demo/rollouts", "/apis/argoproj.io/v1alpha1/namespaces/web/rollouts"
	s := newServed(t, w, map[string]string{
		"/apis": `{"kind":"APIGroupList","groups":[{"name":"storage.k8s.io","preferredVersion":{"version":"v1"}}]}`,
		all:     `{"metadata":{"continue":"next"},"items":[` + rollout("web", "green", "", `"replicas":3,"paused":true`, updated) + `]}`,
		all + "?next": items(rollout("demo", "canary", "", `"replicas":3`, `"observedGeneration":"4","replicas":3,"updatedReplicas":1`),
			rollout("demo", "green", "", `"replicas":3`, updated)),
		demo: items(rollout("demo", "canary", "", `"replicas":3`, updated)),
	})
	o := w.observer(func(o *Options) { o.Kube = s })
	of := func(snapshot *live.Snapshot, namespace, name string) live.Workload {
		for _, w := range snapshot.Facts().Workloads {
			if w.Namespace == namespace && w.Ref() == (live.WorkloadRef{Kind: "Rollout", Name: name}) {
				return w
			}
		}
		t.Fatalf("no Rollout %s/%s in %v", namespace, name, snapshot.Facts().Workloads)
		return live.Workload{}
	}
	whole := w.observe(o)
	wantNoGaps(t, whole)
	if c, g := of(whole, "demo", "canary"), of(whole, "web", "green"); !c.Rolling || c.Suspended || g.Rolling || !g.Suspended || c.UID != "r" {
		t.Errorf("whole look: canary %+v, green %+v; want one rolling, one paused", c, g)
	}
	w.clock.Advance(5 * time.Second)
	again, err := o.Again(t.Context(), Ask{Subjects: []identity.Subject{reader}})
	w.must(err)
	if c, g := of(again, "demo", "canary"), of(again, "web", "green"); c.Rolling || !g.Suspended {
		t.Errorf("look again: canary %+v, green %+v; want the one as it is now, the other as it was", c, g)
	}
	look, err := o.Look(t.Context(), reader)
	w.must(err)
	if c := of(look, "demo", "canary"); c.Rolling {
		t.Errorf("look: canary %+v, want it at rest", c)
	}
	s.mu.Lock()
	asked := s.asked
	s.answers[demo] = "forbidden"
	delete(s.answers, all)
	s.mu.Unlock()
	if slices.Contains(asked, green) {
		t.Errorf("asked %v; nobody asked about namespace web", asked)
	}
	look, err = o.Look(t.Context(), reader)
	w.must(err)
	wantGap(t, look, live.SourceWorkloads, reader.String(), live.GapRefused, "")
	wantNoGaps(t, w.observe(o)) // the kind is gone
}

// TestNoRollouts: a cluster without any is not asked.
func TestNoRollouts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet()...)
	s := newServed(t, w, map[string]string{"/apis": `{"kind":"APIGroupList","groups":[{"name":"argoproj.io","preferredVersion":{"version":"v1alpha1"}}]}`})
	o := w.observer(func(o *Options) { o.Kube = s })
	w.observe(o)
	if _, err := o.Look(t.Context(), reader); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.asked, func(path string) bool { return strings.Contains(path, "argoproj") }) {
		t.Errorf("asked %v", s.asked)
	}
}

// TestTrouble: why a pod is not what it is to be, by its status and its node's.
func TestTrouble(t *testing.T) {
	t.Parallel()
	waits := func(reason string, restarts int32) corev1.ContainerStatus {
		return corev1.ContainerStatus{RestartCount: restarts, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}
	}
	ended := func(code int32, reason string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}}
	}
	is := func(kind corev1.PodConditionType, status corev1.ConditionStatus, reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, Reason: reason})
		}
	}
	with := func(list ...corev1.ContainerStatus) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Status.ContainerStatuses = list }
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	for name, tt := range map[string]struct {
		change func(*corev1.Pod)
		want   live.Trouble
	}{
		"none":     {with(corev1.ContainerStatus{State: running, Ready: true}), live.TroubleNone},
		"starting": {with(waits("ContainerCreating", 0)), live.TroubleNone},
		"back-off": {with(waits("CrashLoopBackOff", 3)), live.TroubleCrash},
		"back-off of an init": {func(p *corev1.Pod) {
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{waits("CrashLoopBackOff", 1)}
		}, live.TroubleCrash},
		"ended once":          {with(corev1.ContainerStatus{State: ended(1, "Error")}), live.TroubleNone},
		"ended again":         {with(corev1.ContainerStatus{RestartCount: 1, State: ended(1, "Error")}), live.TroubleCrash},
		"ended well again":    {with(corev1.ContainerStatus{RestartCount: 1, State: ended(0, "Completed")}), live.TroubleNone},
		"between two crashes": {with(corev1.ContainerStatus{RestartCount: 1, State: running, LastTerminationState: ended(1, "Error")}), live.TroubleCrash},
		"long ago":            {with(corev1.ContainerStatus{RestartCount: 1, State: running, Ready: true, LastTerminationState: ended(1, "Error")}), live.TroubleNone},
		"out of memory": {with(func() corev1.ContainerStatus {
			s := waits("CrashLoopBackOff", 2)
			s.LastTerminationState = ended(137, "OOMKilled")
			return s
		}()), live.TroubleConfig},
		"image":                       {with(waits("ImagePullBackOff", 0)), live.TroubleImage},
		"image name":                  {with(waits("InvalidImageName", 0)), live.TroubleImage},
		"image beside a crash":        {with(waits("CrashLoopBackOff", 3), waits("ErrImagePull", 0)), live.TroubleImage},
		"config":                      {with(waits("CreateContainerConfigError", 0)), live.TroubleConfig},
		"container":                   {with(waits("CreateContainerError", 0)), live.TroubleConfig},
		"config beside a crash":       {with(waits("CrashLoopBackOff", 3), waits("CreateContainerError", 0)), live.TroubleConfig},
		"no place":                    {is(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable"), live.TroubleUnschedulable},
		"a place":                     {is(corev1.PodScheduled, corev1.ConditionTrue, ""), live.TroubleNone},
		"pressure":                    {func(p *corev1.Pod) { p.Status.Reason, p.Status.Phase = "Evicted", corev1.PodFailed }, live.TroubleNode},
		"taints":                      {is(corev1.DisruptionTarget, corev1.ConditionTrue, "DeletionByTaintManager"), live.TroubleNode},
		"the node goes down":          {is(corev1.DisruptionTarget, corev1.ConditionTrue, "TerminationByKubelet"), live.TroubleNode},
		"evicted by lanyard":          {is(corev1.DisruptionTarget, corev1.ConditionTrue, "EvictionByEvictionAPI"), live.TroubleNone},
		"on its way out":              {func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{}; with(waits("CrashLoopBackOff", 3))(p) }, live.TroubleNone},
		"lost, and on its way out":    {func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{}; p.Status.Reason = "NodeLost" }, live.TroubleNode},
		"its node is not Ready":       {func(p *corev1.Pod) { p.Spec.NodeName = "lost"; with(waits("CrashLoopBackOff", 3))(p) }, live.TroubleNode},
		"its node is Ready":           {func(p *corev1.Pod) { p.Spec.NodeName = "good"; with(waits("CrashLoopBackOff", 3))(p) }, live.TroubleCrash},
		"Ready on a node that is not": {func(p *corev1.Pod) { p.Spec.NodeName = "lost"; is(corev1.PodReady, corev1.ConditionTrue, "")(p) }, live.TroubleNone},
	} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web-1"}}
		tt.change(p)
		pods, _, _ := parts{pods: []podSeen{podFacts(p)}, nodes: []live.Node{{Name: "good", Ready: true}, {Name: "lost"}}}.assemble()
		if pods[0].Trouble != tt.want {
			t.Errorf("%s: trouble is %q, want %q", name, pods[0].Trouble, tt.want)
		}
	}
}

// TestReadiness: since when a pod is Ready, and how often its containers were restarted.
func TestReadiness(t *testing.T) {
	t.Parallel()
	at := metav1.NewTime(time.Date(2026, 11, 23, 10, 0, 0, 0, time.FixedZone("", 3600)))
	p := &corev1.Pod{Status: corev1.PodStatus{
		Conditions:            []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at}},
		InitContainerStatuses: []corev1.ContainerStatus{{RestartCount: 2}},
		ContainerStatuses:     []corev1.ContainerStatus{{RestartCount: 1}, {RestartCount: 4}, {RestartCount: 0}},
	}}
	if got := podFacts(p); !got.Ready || got.ReadyAt != at.UTC() || got.Restarts != 4 {
		t.Errorf("ready %t since %s, %d restarts; want true since %s, 4", got.Ready, got.ReadyAt, got.Restarts, at.UTC())
	}
	p.Status.Conditions[0].Status = corev1.ConditionFalse
	if got := podFacts(p); got.Ready || !got.ReadyAt.IsZero() {
		t.Errorf("ready %t since %s; want neither", got.Ready, got.ReadyAt)
	}
}
