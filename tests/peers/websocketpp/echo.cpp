// Its echo_server example. It supports draft 76, and never supported draft 75.
#include <websocketpp/config/asio_no_tls.hpp>
#include <websocketpp/server.hpp>

#include <cstdlib>
#include <iostream>
#include <thread>

typedef websocketpp::server<websocketpp::config::asio> server;

int main() {
    server echo;
    echo.clear_access_channels(websocketpp::log::alevel::all);
    echo.init_asio();
    echo.set_message_handler([&echo](websocketpp::connection_hdl client, server::message_ptr message) {
        websocketpp::lib::error_code error;
        echo.send(client, message->get_payload(), message->get_opcode(), error);
    });
    echo.set_listen_backlog(1024);
    echo.listen(websocketpp::lib::asio::ip::tcp::endpoint(
        websocketpp::lib::asio::ip::address_v4::loopback(), 0));
    echo.start_accept();
    websocketpp::lib::error_code error;
    std::cout << "listening on ws://127.0.0.1:" << echo.get_local_endpoint(error).port() << "/echo" << std::endl;
    std::thread([] {
        while (std::cin.get() != EOF) {}
        std::_Exit(0);
    }).detach();
    echo.run();
}
