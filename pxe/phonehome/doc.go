// Package phonehome is where a system tells that it is up: it asks for
// http://BOOTHOST:PORT/phone-home/TOKEN, by POST as cloud-init's phone_home
// does or by GET. The token belongs to one root of one node and stands in that
// root alone; whoever holds it can say that this node is up, and nothing else.
package phonehome
