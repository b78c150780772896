package hookd

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Follow watches the cluster's ServiceAccounts until [Server.Close], and returns once
// those that are there now are known. Without it the webhook knows associations only.
func (s *Server) Follow(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	informer := factory.Core().V1().ServiceAccounts().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { s.observe(obj, false) },
		UpdateFunc: func(_, obj any) { s.observe(obj, false) },
		DeleteFunc: func(obj any) { s.observe(obj, true) },
	})
	if err != nil {
		return err
	}
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx)) // The watch outlives the call, and ends with Close.
	stop := func() {
		cancel()
		factory.Shutdown()
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.stops = append(s.stops, stop)
	}
	s.mu.Unlock()
	if closed {
		cancel()
		return errors.New("follow ServiceAccounts: the webhook is closed: make a new one")
	}
	factory.Start(watch.Done())
	for _, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return errors.Join(errors.New("follow ServiceAccounts: the cluster did not list them in time"), ctx.Err())
		}
	}
	return nil
}

func (s *Server) observe(obj any, deleted bool) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	if sa, ok := obj.(*corev1.ServiceAccount); ok {
		s.hook.Observe(sa, deleted)
	}
}
