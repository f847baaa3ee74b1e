# The classes as in its documentation, over a socket; one process per connection.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Protocol::WebSocket::Frame;
use Protocol::WebSocket::Handshake::Server;

$SIG{CHLD} = 'IGNORE';
$SIG{PIPE} = 'IGNORE';
$| = 1;
my $server = IO::Socket::INET->new(Listen => 1024, LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp')
    or die "cannot listen: $!";
print 'listening on ws://127.0.0.1:', $server->sockport, "/echo\n";
my $ready = IO::Select->new($server, \*STDIN);
while (1) {
    for my $handle ($ready->can_read) {
        if ($handle == $server) {
            my $client = $server->accept or next;
            if (!fork) { serve($client); exit }
            close $client;
        } elsif (!sysread STDIN, my $ignored, 4096) {
            exit;
        }
    }
}

sub serve {
    my $client = shift;
    close $server;
    my $handshake = Protocol::WebSocket::Handshake::Server->new;
    my $frame;
    while (sysread $client, my $bytes, 65_536) {
        if (!$handshake->is_done) {
            $handshake->parse($bytes) or die 'handshake: ' . $handshake->error . "\n";
            next if !$handshake->is_done;
            put($client, $handshake->to_string);
            $frame = Protocol::WebSocket::Frame->new(version => $handshake->version);
        }
        $frame->append($bytes);
        while (defined(my $message = $frame->next_bytes)) {
            if ($frame->is_close) {
                put($client, reply($handshake, type => 'close'));
                return;
            }
            put($client, reply($handshake, buffer => $message));
        }
    }
}

sub reply {
    my ($handshake, @what) = @_;
    return Protocol::WebSocket::Frame->new(version => $handshake->version, @what)->to_bytes;
}

sub put {
    my ($client, $bytes) = @_;
    while (length $bytes) {
        my $written = syswrite $client, $bytes or exit;
        substr $bytes, 0, $written, '';
    }
}
