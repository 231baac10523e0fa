// Package switchapi is the HTTP API of the switches, beside the Ironic API: for
// programs, and for the commands `caddyshack switch`. It is for administrators
// only (see ironicapi.AdminOnly). What a switch shall be comes from the
// database alone; nothing can be set here.
//
//	GET  /caddyshack/v1/switches              all switches, in short
//	GET  /caddyshack/v1/switches/{id}         one: its ports, what they carry and what they shall carry
//	GET  /caddyshack/v1/switches/{id}/plan    what an apply would change, in words; touches nothing
//	POST /caddyshack/v1/switches/{id}/apply   makes the switch what the database wants
//	GET  /caddyshack/v1/networks              the networks of the configuration
//
// {id} is the switch's id or name. Errors have the Ironic API's form.
package switchapi
