package observe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// reach asks the API server for its issuer, and returns an error where no answer came
// at all, be it a refusal: each list would wait for its own time-out, and say the same.
func (o *Observer) reach(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, o.limits.Reach)
	defer cancel()
	_, err := o.opts.Issuer(soon)
	if ctx.Err() != nil {
		return fmt.Errorf("watch Kubernetes: %w", ctx.Err())
	}
	if !unreachable(err) {
		return nil
	}
	cause := reachCause(err)
	if soon.Err() != nil {
		cause = "no answer within " + o.limits.Reach.String()
	}
	return remedy.Mark(remedy.Retry, &worded{fmt.Sprintf("reach the Kubernetes API server%s: %s: check --kubeconfig and --context, or the cluster's network", o.at(err), cause), err})
}

// unreachable reports that no answer came: no connection, no agreement on TLS, no name
// in the DNS, no credentials to connect with, no time left.
func unreachable(err error) bool {
	if _, answered := errors.AsType[*apierrors.StatusError](err); answered || err == nil {
		return false
	}
	_, network := errors.AsType[net.Error](err) // a [url.Error] too, whatever its cause
	return network
}

// reachCause says why, without the request.
func reachCause(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return "look up " + dns.Name + ": " + dns.Err
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	return short(plain(err.Error()))
}

// at returns " at HOST" of the API server, or nothing where that cannot be told.
func (o *Observer) at(err error) string {
	host := ""
	if failed, ok := errors.AsType[*url.Error](err); ok {
		if u, bad := url.Parse(failed.URL); bad == nil {
			host = u.Host
		}
	}
	if client := o.opts.Kube.Discovery().RESTClient(); host == "" && client != nil {
		host = client.Get().URL().Host
	}
	if host == "" {
		return ""
	}
	return " at " + host
}
