// Package console serves the serial consoles of nodes.
//
// A [Service] reads each serial line once, keeps a bounded ring of its recent
// output and lets any number of people watch and type: over raw TCP (console
// type "socat", the form that Nova's serial proxy expects) or in a browser
// (type "shellinabox", a web page with a terminal). A viewer that cannot keep
// up loses output, marked in its stream; it never slows the line down. A line
// that goes away (USB unplugged, TCP closed) is opened again with back-off and
// the viewers are told so in their stream.
//
// The arguments and results of [Consoles] are plain data, so that an HTTP twin
// can stand in for the Service on another machine.
//
// [Attach] is the client side: it joins a terminal to either kind of console.
package console
