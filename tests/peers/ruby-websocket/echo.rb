# The classes as in its README, over a socket; one thread per connection.
require 'socket'
require 'websocket'

def serve(client)
  handshake = WebSocket::Handshake::Server.new
  frames = nil
  loop do
    bytes = client.readpartial(65_536)
    if frames
      frames << bytes
    else
      handshake << bytes
      next unless handshake.finished?
      return unless handshake.valid?
      client.write(handshake.to_s)
      frames = WebSocket::Frame::Incoming::Server.new(version: handshake.version)
      # In draft 76 the leftovers are key3 and whatever arrived with it.
      frames << handshake.leftovers if handshake.leftovers && handshake.version == 75
    end
    while (frame = frames.next)
      type = frame.type == :close ? :close : :text
      client.write(WebSocket::Frame::Outgoing::Server.new(version: handshake.version, data: frame.to_s, type: type).to_s)
      return if type == :close
    end
    return if frames.error?
  end
rescue EOFError, SystemCallError
  nil
ensure
  client.close
end

$stdout.sync = true
server = TCPServer.new('127.0.0.1', 0)
server.listen(1024)
puts "listening on ws://127.0.0.1:#{server.addr[1]}/echo"
Thread.new { $stdin.read; exit!(0) }
loop { Thread.new(server.accept) { |client| serve(client) } }
