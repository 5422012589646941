// Command clients plays the same checks with real client libraries through the proxy, with TLS on both
// of its sides: the proxy's certificate is verified and another authority's refused, by the client; the
// user, RESP2 or RESP3, a large value, a pipeline, a transaction, a blocking command, and pub/sub. Each
// is played as the user default, and with a client certificate that stands for a user.
//
// scripts/clients.sh gets the libraries. The programs in this folder are the checks in the clients'
// languages; one line of their output is one check.
package main
