// Package hookd is EKS's pod identity webhook for a real kube-apiserver: the rules of
// package actors behind TLS on loopback.
//
// [Server] answers AdmissionReviews at /mutate. It learns of ServiceAccounts from an
// informer and of associations from the AWS double, both late by a delay that a test
// sets ([Server.SetDelay]), and can be down or hung ([Server.SetMode]): the API server
// then admits pods unchanged, because the failurePolicy is Ignore. [Server.Object] is
// the MutatingWebhookConfiguration to create in the cluster, as EKS installs it except
// for the address and the CA, which the server makes for itself.
//
// It decides nothing about pods: that is [actors.Mutate], which the sandbox's fake
// cluster calls as well. Only tests import it.
//
//	hook, err := hookd.New(hookd.Options{Clock: clock, Region: "eu-west-1", AWS: aws, Cluster: arn})
//	err = hook.Start("127.0.0.1:0")
//	err = hook.Follow(ctx, client)
//	_, err = client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx, hook.Object(), metav1.CreateOptions{})
//	defer hook.Close()
package hookd
