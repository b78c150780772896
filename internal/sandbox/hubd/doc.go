// Package hubd is a double of GitHub's REST API for one repository, over HTTP on
// loopback: pull requests, comments of issues, commit statuses, and who asks.
//
// It is strict where GitHub is strict: who may ask what ([Token]), pages and their Link
// header, ETag and 304, the primary rate limit and both kinds of the secondary one,
// limits on lengths, and errors shaped as GitHub shapes them. It goes wrong on demand
// ([Server.AddFault]): before a write, after it, or without an answer. A test makes the
// world through [Server.Open], [Server.Push], [Server.Say] and the like, and reads what
// a client made of it with [Server.Comments], [Server.Statuses] and [Server.Requests].
//
// The content of a pull request is Git's, and package gitd serves that: this API knows
// commits by name only. It decides nothing about lanyard and imports nothing of it. Only
// tests import it.
//
//	hub, err := hubd.Serve(ctx, hubd.Options{Repository: "acme/fleet"})
//	hub.Grant("secret", hubd.Token{Login: "lanyard-bot", Pulls: hubd.Write, Statuses: hubd.Write})
//	n := hub.Open(hubd.Pull{Title: "move s3-reader", Branch: "flip", Head: commit, Base: "main"})
package hubd
