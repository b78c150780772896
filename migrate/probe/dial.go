package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// maxServers bounds the API servers that are asked. EKS runs two or more of them, and
// whoever can write the EndpointSlice could name any number.
const maxServers = 16

// maxAnswer bounds an answer: a pod, which etcd would refuse above 1.5 MiB, and what
// admission added to it.
const maxAnswer = 8 << 20

// addresses are those of all API servers that serve. Each writes its own into the
// EndpointSlice of Service default/kubernetes, in which an endpoint without a condition
// counts as ready.
// Sources: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions,
// kubernetes/kubernetes, pkg/controlplane/reconcilers.
func (p *Prober) addresses(ctx context.Context) ([]string, error) {
	ctx, cancel := p.call(ctx)
	defer cancel()
	slice, err := p.o.Kube.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).Get(ctx, "kubernetes", metav1.GetOptions{})
	if p.o.Dial == nil && apierrors.IsNotFound(err) {
		return []string{""}, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := serving(slice)
	if p.o.Dial == nil && err == nil && len(all) == 0 {
		return []string{""}, nil
	}
	if err == nil && len(all) == 0 {
		err = errors.New("EndpointSlice default/kubernetes names none")
	}
	return all, err
}

func serving(slice *discoveryv1.EndpointSlice) (all []string, err error) {
	port := ""
	for _, p := range slice.Ports {
		if p.Port != nil && (p.Protocol == nil || *p.Protocol == corev1.ProtocolTCP) && (len(slice.Ports) == 1 || p.Name != nil && *p.Name == "https") {
			port = strconv.Itoa(int(*p.Port))
		}
	}
	for _, e := range slice.Endpoints {
		if e.Conditions.Ready != nil && !*e.Conditions.Ready {
			continue
		}
		for _, address := range e.Addresses {
			ip, err := netip.ParseAddr(address)
			if err != nil || port == "" {
				return nil, fmt.Errorf("EndpointSlice default/kubernetes: address %q with port %q is not one that can be asked", text(address), port)
			}
			all = append(all, net.JoinHostPort(ip.String(), port))
		}
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) > maxServers {
		return nil, fmt.Errorf("EndpointSlice default/kubernetes has %d addresses, and at most %d are asked", len(all), maxServers)
	}
	return all, nil
}

// Dialer returns an [Options].Dial: each client it makes connects to one address, anew
// for each request, with the credentials and the certificate authority of a
// configuration. Dial connects; nil is by TCP.
//
// The certificate is still checked against the host that the configuration names, and
// not against the address: all API servers of a cluster have a certificate for the name
// that their clients know, while nothing says that it has their addresses too. The
// request goes to the configured URL, and only the connection elsewhere; net/http checks
// the name in the URL, or tls-server-name where the kubeconfig has one.
// Source: https://pkg.go.dev/k8s.io/client-go/rest#TLSClientConfig, ServerName.
//
// A proxy would choose the API server itself, so none is used.
func Dialer(config *rest.Config, dial func(ctx context.Context, network, address string) (net.Conn, error)) func(address string) (kubernetes.Interface, error) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: callTimeout}).DialContext
	}
	return func(address string) (kubernetes.Interface, error) {
		own := rest.CopyConfig(config)
		own.QPS = -1 // one request for each client
		own.WarningHandler = rest.NoWarnings{}
		tls, err := rest.TLSConfigFor(own)
		if err != nil {
			return nil, fmt.Errorf("read the API server's certificate authority: %w", err)
		}
		// Not by the configuration's Dial: client-go keeps one transport for each in a cache.
		transport, err := rest.HTTPWrappersForConfig(own, bounded{&http.Transport{
			TLSClientConfig:     tls,
			TLSHandshakeTimeout: callTimeout,
			DisableKeepAlives:   true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dial(ctx, network, address)
			},
		}})
		if err != nil {
			return nil, fmt.Errorf("log in to the API server: %w", err)
		}
		return kubernetes.NewForConfigAndClient(own, &http.Client{Transport: transport})
	}
}

// bounded cuts off answers that are too long.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	return resp, nil
}
