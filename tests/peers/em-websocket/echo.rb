# The echo of its README.
require 'em-websocket'

$stdout.sync = true
EM.epoll
EM.run do
  server = EM::WebSocket.run(host: '127.0.0.1', port: 0) do |ws|
    ws.onmessage { |message| ws.send(message) }
    ws.onerror { |error| warn error }
  end
  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "listening on ws://127.0.0.1:#{port}/echo"
  Thread.new { $stdin.read; exit!(0) }
end
