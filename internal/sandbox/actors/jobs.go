package actors

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (l *Life) jobs(ctx context.Context) error {
	jobs, err := l.o.Client.BatchV1().Jobs("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	pods, err := l.podsByOwner(ctx)
	if err != nil {
		return err
	}
	for i := range jobs.Items {
		if j := &jobs.Items[i]; j.DeletionTimestamp == nil && !finished(j) {
			if err := l.job(ctx, j, pods[j.UID]); err != nil {
				return err
			}
		}
	}
	return nil
}

// job runs pods until enough have succeeded or too many failed.
func (l *Life) job(ctx context.Context, j *batchv1.Job, pods []*corev1.Pod) error {
	before := *j.Status.DeepCopy()
	var running []*corev1.Pod
	s := &j.Status
	s.Active, s.Succeeded, s.Failed = 0, 0, 0
	for _, p := range pods {
		switch {
		case p.Status.Phase == corev1.PodSucceeded:
			s.Succeeded++
		case p.Status.Phase == corev1.PodFailed:
			s.Failed++
		case active(p):
			running = append(running, p)
		}
	}
	want := pointerOr(j.Spec.Completions, 1)
	limit := min(pointerOr(j.Spec.Parallelism, 1), want-s.Succeeded)
	suspended := pointerOr(j.Spec.Suspend, false)
	switch {
	case s.Succeeded >= want:
		now := l.now()
		s.CompletionTime = &now
		s.Conditions = append(s.Conditions, batchv1.JobCondition{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: now})
		limit = 0
	case s.Failed > pointerOr(j.Spec.BackoffLimit, 6):
		s.Conditions = append(s.Conditions, batchv1.JobCondition{
			Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonBackoffLimitExceeded, LastTransitionTime: l.now(),
		})
		limit = 0
	case suspended:
		limit = 0
	}
	for _, p := range running[min(len(running), int(max(0, limit))):] {
		if err := l.deletePod(ctx, p); err != nil {
			return err
		}
	}
	for range int(limit) - len(running) {
		pod := podFrom(j.Spec.Template, j, batchv1.SchemeGroupVersion.WithKind("Job"), map[string]string{
			batchv1.JobNameLabel: j.Name, batchv1.ControllerUidLabel: string(j.UID), "job-name": j.Name,
		})
		if err := l.createPod(ctx, pod); err != nil {
			return err
		}
	}
	s.Active = int32(min(len(running), int(max(0, limit))))
	if s.StartTime == nil && !suspended {
		now := l.now()
		s.StartTime = &now
	}
	if equality.Semantic.DeepEqual(before, *s) {
		return nil
	}
	_, err := l.o.Client.BatchV1().Jobs(j.Namespace).UpdateStatus(ctx, j, metav1.UpdateOptions{})
	return l.wrote(err)
}

func finished(j *batchv1.Job) bool {
	return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}

func (l *Life) cronJobs(ctx context.Context) error {
	crons, err := l.o.Client.BatchV1().CronJobs("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	jobs, err := l.o.Client.BatchV1().Jobs("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range crons.Items {
		c := &crons.Items[i]
		if c.DeletionTimestamp != nil {
			continue
		}
		var own []*batchv1.Job
		for j := range jobs.Items {
			if metav1.IsControlledBy(&jobs.Items[j], c) {
				own = append(own, &jobs.Items[j])
			}
		}
		if err := l.cronJob(ctx, c, own); err != nil {
			return err
		}
	}
	return nil
}

// cronJob starts the newest run that is due, and forgets old ones.
func (l *Life) cronJob(ctx context.Context, c *batchv1.CronJob, own []*batchv1.Job) error {
	if err := l.forgetJobs(ctx, c, own); err != nil {
		return err
	}
	if pointerOr(c.Spec.Suspend, false) {
		return nil
	}
	s, err := parseSchedule(c.Spec.Schedule, pointerOr(c.Spec.TimeZone, "UTC"))
	if err != nil {
		return nil // a real API server would not have let it in
	}
	since := c.CreationTimestamp.Time
	if t := c.Status.LastScheduleTime; t != nil {
		since = t.Time
	}
	due := s.latest(since, l.o.Clock.Now())
	if due.IsZero() {
		return nil
	}
	for _, j := range own {
		if finished(j) || c.Spec.ConcurrencyPolicy == batchv1.AllowConcurrent || c.Spec.ConcurrencyPolicy == "" {
			continue
		}
		if c.Spec.ConcurrencyPolicy == batchv1.ForbidConcurrent {
			return nil
		}
		if err := l.wrote(l.o.Client.BatchV1().Jobs(j.Namespace).Delete(ctx, j.Name, metav1.DeleteOptions{})); err != nil {
			return err
		}
	}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Namespace:       c.Namespace,
		Name:            fmt.Sprintf("%s-%d", c.Name, due.Unix()/60),
		Labels:          c.Spec.JobTemplate.Labels,
		Annotations:     c.Spec.JobTemplate.Annotations,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, batchv1.SchemeGroupVersion.WithKind("CronJob"))},
	}, Spec: *c.Spec.JobTemplate.Spec.DeepCopy()}
	_, err = l.o.Client.BatchV1().Jobs(c.Namespace).Create(ctx, job, metav1.CreateOptions{})
	if err := l.wrote(err); err != nil {
		return err
	}
	at := metav1.NewTime(due)
	c.Status.LastScheduleTime = &at
	_, err = l.o.Client.BatchV1().CronJobs(c.Namespace).UpdateStatus(ctx, c, metav1.UpdateOptions{})
	return l.wrote(err)
}

func (l *Life) forgetJobs(ctx context.Context, c *batchv1.CronJob, own []*batchv1.Job) error {
	slices.SortFunc(own, func(a, b *batchv1.Job) int {
		return cmp.Or(b.CreationTimestamp.Time.Compare(a.CreationTimestamp.Time), cmp.Compare(b.Name, a.Name))
	})
	keep := map[bool]int{
		true:  int(pointerOr(c.Spec.SuccessfulJobsHistoryLimit, 3)),
		false: int(pointerOr(c.Spec.FailedJobsHistoryLimit, 1)),
	}
	for _, j := range own {
		if !finished(j) {
			continue
		}
		ok := j.Status.CompletionTime != nil
		if keep[ok]--; keep[ok] >= 0 {
			continue
		}
		if err := l.wrote(l.o.Client.BatchV1().Jobs(j.Namespace).Delete(ctx, j.Name, metav1.DeleteOptions{})); err != nil {
			return err
		}
	}
	return nil
}

// longAgo bounds the search for the run that is due.
const longAgo = 400 * 24 * time.Hour

// latest returns the newest time of the schedule after since and not after now, or zero.
func (s schedule) latest(since, now time.Time) time.Time {
	if now.Sub(since) > longAgo {
		since = now.Add(-longAgo)
	}
	for t := now.In(s.zone).Truncate(time.Minute); t.After(since); t = t.Add(-time.Minute) {
		if s.matches(t) {
			return t
		}
	}
	return time.Time{}
}
